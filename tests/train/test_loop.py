"""The loop: the steps of SGD, exact measures, and the same bits from the same seed."""

import dataclasses
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

import deeprect_gluon as dg
from deeprect_gluon.data import Batches, shift_and_flip
from deeprect_gluon.train import Checkpoints, History, TrainConfig, evaluate, fit
from deeprect_gluon.train.history import Row, read


def make_net(dropout=0.0):
    net = mx.gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(mx.gluon.nn.Conv2D(6, 3, padding=1), dg.nn.PReLU())
        net.add(mx.gluon.nn.MaxPool2D(2, 2), mx.gluon.nn.Dropout(dropout))
        net.add(mx.gluon.nn.Dense(5))
    mx.random.seed(1)
    net.initialize(mx.init.Normal(0.3))
    net(mx.nd.zeros((1, 2, 6, 6)))  # draws the values now
    return net


def make_batches(n=64, batch=16, shuffle=True, **more):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(n, 2, 6, 6)).astype(np.float32)
    labels = (images[:, 0, :3, :3].sum((1, 2)) > 0).astype(np.int32) + 2
    return Batches(images, labels, batch, shuffle, **more)


def weights(net):
    return {k: v.data().asnumpy() for k, v in net.collect_params().items()}


def test_same_seed_gives_the_same_bits():
    config = TrainConfig(epochs=3, batch_size=16, lr=0.1, report_every=3)

    def train(seed):
        net = make_net(dropout=0.5)
        batches = make_batches(seed=seed, augment=shift_and_flip)
        return fit(net, batches, make_batches(shuffle=False), config), weights(net)

    (history, first), (again, second), (_, other) = train(0), train(0), train(1)
    assert all((first[k] == second[k]).all() for k in first)
    assert any((first[k] != other[k]).any() for k in first)
    keep = [(r.step, r.train_loss, r.val_error) for r in history.rows]
    assert keep == [(r.step, r.train_loss, r.val_error) for r in again.rows]


@pytest.mark.parametrize("bias_decay", [True, False])
def test_step_is_sgd_with_momentum_and_slopes_are_not_decayed(bias_decay):
    """Three steps against the update rule computed in float64 from MXNet's own gradients."""
    config = TrainConfig(
        epochs=1, batch_size=16, lr=0.05, weight_decay=0.1, bias_decay=bias_decay, max_steps=3
    )
    undecayed = ("alpha",) if bias_decay else ("alpha", "bias")
    batches = make_batches()
    reference = make_net()
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    momentum = {}
    for step, (images, labels) in enumerate(batches.epoch(0)):
        if step == 3:
            break
        with mx.autograd.record():
            loss = criterion(reference(images), labels).mean()
        loss.backward()
        for name, parameter in reference.collect_params().items():
            value = parameter.data().asnumpy().astype(np.float64)
            decay = 0.0 if name.endswith(undecayed) else 0.1
            gradient = parameter.grad().asnumpy() + decay * value
            momentum[name] = 0.9 * momentum.get(name, 0) - 0.05 * gradient
            parameter.set_data(mx.nd.array(value + momentum[name]))
    net = make_net()
    fit(net, batches, None, config)
    expected = weights(reference)
    for name, value in weights(net).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6)


def test_learning_lowers_the_loss_and_the_history_tells_it(tmp_path):
    config = TrainConfig(epochs=8, batch_size=16, lr=0.05, lr_drops=(6,), report_every=2)
    history = History(tmp_path)
    net = make_net()
    fit(net, make_batches(), make_batches(shuffle=False), config, history=history)
    history.close()
    rows = history.rows
    assert [r.step for r in rows] == list(range(2, 33, 2))
    assert rows[-1].train_loss < rows[0].train_loss / 4
    assert [r.lr for r in rows if r.val_error is not None] == [0.05] * 6 + [
        pytest.approx(0.005)
    ] * 2
    assert read(tmp_path / "history.csv") == rows
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_evaluate_counts_every_image_once():
    net = make_net()
    batches = make_batches(n=50, batch=16, shuffle=False)
    result = evaluate(net, batches)
    scores = net(mx.nd.array(batches.images)).asnumpy().astype(np.float64)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    assert result["images"] == 50
    assert result["top1_error"] == (scores.argmax(1) != batches.labels).mean()
    assert result["loss"] == pytest.approx(-log_p[np.arange(50), batches.labels].mean(), rel=1e-5)


def test_top_five_errors_are_those_of_the_five_highest_scores():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 9)).astype(np.float32)
    labels = rng.integers(9, size=40).astype(np.int32)
    net = mx.gluon.nn.Dense(9, in_units=9, use_bias=False)
    net.initialize()
    net.weight.set_data(mx.nd.eye(9))
    best = np.argsort(-scores, axis=1)[:, :5]
    expected = 1 - (best == labels[:, None]).any(1).mean()
    assert 0 < expected < 1
    assert evaluate(net, Batches(scores, labels, 16))["top5_error"] == pytest.approx(expected)


def test_another_training_is_not_continued(tmp_path):
    config = TrainConfig(epochs=1, batch_size=16, lr=0.05, max_steps=2, checkpoint_every=2)
    checkpoints = Checkpoints(tmp_path)
    fit(make_net(), make_batches(), None, config, checkpoints=checkpoints)
    ((step, path),) = checkpoints.found()
    assert step == 2

    def resume_with(old_settings):
        """Continue from the checkpoint of an older version, which had more settings."""
        (_, arrays, state) = checkpoints.latest()
        state["made_with"].update(old_settings)
        old = Checkpoints(tmp_path / "old", keep=1)
        arrays = {name: mx.nd.array(a, dtype=a.dtype) for name, a in arrays.items()}
        old.save(2, arrays, state)
        fit(make_net(), make_batches(), None, config, checkpoints=old, resume=True)

    other = dataclasses.replace(config, lr=0.5, momentum=0.8)
    with pytest.raises(ValueError, match="cannot be continued: it was made with") as caught:
        fit(make_net(), make_batches(), None, other, checkpoints=checkpoints, resume=True)
    assert str(caught.value) == (
        f"{path} cannot be continued: it was made with lr=0.05, not 0.5; momentum=0.9, not 0.8"
    )
    with pytest.raises(ValueError, match="made with fp16_allreduce=True, not False"):
        resume_with({"fp16_allreduce": True})
    resume_with({"fp16_allreduce": False})
    net = mx.gluon.nn.Dense(5, in_units=72)
    net.initialize()
    with pytest.raises(ValueError, match="it was made with another net"):
        fit(net, make_batches(), None, config, checkpoints=checkpoints, resume=True)


def test_a_longer_training_continues_a_shorter_one(tmp_path):
    long = TrainConfig(epochs=3, batch_size=16, lr=0.1, checkpoint_every=3)
    whole = make_net(dropout=0.5)
    fit(whole, make_batches(), None, long)
    for config in (dataclasses.replace(long, epochs=1), long):
        net = make_net(dropout=0.5)
        checkpoints = Checkpoints(tmp_path)
        fit(net, make_batches(), None, config, checkpoints=checkpoints, resume=True)
    values = weights(net)
    assert all((values[name] == value).all() for name, value in weights(whole).items())


def test_data_that_end_too_early_are_an_error():
    class Short(Batches):
        def epoch(self, epoch=0, start=0):
            for number, batch in enumerate(super().epoch(epoch, start)):
                if number < 2:
                    yield batch

    batches = make_batches()
    short = Short(batches.images, batches.labels, 16, True)
    with pytest.raises(RuntimeError, match="the data of epoch 0 ended after 2 of 4 steps"):
        fit(make_net(), short, None, TrainConfig(epochs=1, batch_size=16))


def test_divergence_stops_with_its_place():
    config = TrainConfig(epochs=50, batch_size=16, lr=1e9, report_every=4)
    with pytest.raises(FloatingPointError, match=r"between steps \d+ and \d+ .*learning rate"):
        fit(make_net(), make_batches(), None, config)


def test_a_plateau_drops_the_rate_and_the_next_one_stops():
    """The error of a net that does not learn (momentum and lr ~ 0) comes to a plateau at once."""
    config = TrainConfig(
        epochs=50, batch_size=16, lr=1e-9, plateau=2, plateau_drops=1, early_stop=True
    )
    history = fit(make_net(), make_batches(), make_batches(shuffle=False), config)
    # The first epoch sets the mark; two drop the rate, two more end the training.
    assert [r.epoch for r in history.rows] == [1, 2, 3, 4, 5]
    assert [r.lr for r in history.rows] == [1e-9] * 3 + [pytest.approx(1e-10)] * 2


@pytest.mark.parametrize("name", ["epochs", "batch_size", "lr", "report_every"])
def test_config_refuses_what_is_not_positive(name):
    with pytest.raises(ValueError, match=f"{name}=0 must be greater"):
        TrainConfig(**{name: 0})


def test_history_of_another_form_is_refused(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("step,loss\n1,2\n")
    with pytest.raises(ValueError, match=r"history.csv has columns \['step', 'loss'\]"):
        read(path)


def test_history_continues_after_a_row(tmp_path):
    rows = [Row(step, step / 4, 0.1, 1 / step, 0.5, 10.0, 0.25, 0.5, 0.125) for step in (1, 2, 3)]
    first = History(tmp_path)
    for row in rows:
        first.add(row)
    first.close()
    path = tmp_path / "history.csv"
    path.write_text(path.read_text() + "4,1.0,0.")  # cut short
    second = History(tmp_path)
    second.resume(2)
    assert second.rows == rows[:2]
    second.add(rows[2])
    second.close()
    assert read(path) == rows
    board = max(tmp_path.glob("events.out.tfevents.*"))
    content, events = board.read_bytes(), []
    while content:  # records of: length, its checksum, an event, its checksum
        length = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    start, *values = events[1:]  # behind the format's version
    # TensorBoard forgets what the first training told of later steps.
    assert (start.step, start.session_log.status) == (3, SessionLog.START)
    assert {event.step for event in values} == {3}
    told = {event.summary.value[0].tag: event.summary.value[0].simple_value for event in values}
    assert told.keys() == dataclasses.asdict(rows[2]).keys() - {"step"}
    assert told["val_error"] == rows[2].val_error
    with pytest.raises(ValueError, match=r"history.csv has 3 rows; the checkpoint comes after 4"):
        History(tmp_path).resume(4)


def test_history_of_an_older_version_is_read(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(
        "step,epoch,lr,train_loss,train_error,images_per_second,val_loss,val_error\n"
        "3,1.0,0.1,2.5,0.5,10.0,2.25,0.75\n"
    )
    assert read(path) == [Row(3, 1.0, 0.1, 2.5, 0.5, 10.0, 2.25, 0.75)]


def test_a_full_disk_does_not_stop_the_history_for_ever(tmp_path):
    """TensorBoard's own writer waits for a thread that the full disk has ended."""
    program = """
import resource, sys
from pathlib import Path
from deeprect_gluon.train import History
from deeprect_gluon.train.history import Row
history = History(Path(sys.argv[1]))
history.add(Row(1, 1.0, 0.1, 1.0, 0.5, 10.0))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    for step in range(2, 1000):
        history.add(Row(step, 1.0, 0.1, 1.0, 0.5, 10.0))
except OSError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[Errno 27] File too large\n", done.stderr
