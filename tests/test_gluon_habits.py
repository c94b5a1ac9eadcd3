"""Everyday habits of Gluon, on all our blocks; compared with plain operators in float64."""

import copy
import json
import multiprocessing
import pickle
import threading

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

import deeprect_gluon as dg
from deeprect_gluon.optimizer import apply_multipliers

SHAPE = (4, 2, 6, 6)
X = np.random.default_rng(1).standard_normal(SHAPE).astype("float32")


def _sequence(*blocks):
    net = nn.HybridSequential(prefix="net_")
    net.add(*blocks)
    return net


# A net around each block, made anew with or without our operators.
BLOCKS = {
    "PReLU": lambda fast: dg.nn.PReLU(in_channels=2, prefix="p_"),
    "PReLU shared": lambda fast: dg.nn.PReLU(shared=True, prefix="p_"),
    "PReLU of the last axis": lambda fast: dg.nn.PReLU(axis=-1, prefix="p_"),
    "ConvPReLU": lambda fast: dg.nn.ConvPReLU(3, 3, 1, 1, fast=fast, prefix="c_"),
    "ConvPReLU shared": lambda fast: dg.nn.ConvPReLU(
        3, 2, activation="prelu_shared", fast=fast, prefix="c_"
    ),
    "ConvPReLU relu": lambda fast: dg.nn.ConvPReLU(3, 3, activation="relu", fast=fast, prefix="c_"),
    "Dense": lambda fast: dg.nn.Dense(5, "relu", fast=fast, prefix="d_"),
    "MaxPool2D": lambda fast: dg.nn.MaxPool2D(3, 2, fast=fast, prefix="m_"),
    "SpatialPyramidPooling": lambda fast: dg.nn.SpatialPyramidPooling(
        (3, 2, 1), 6, fast=fast, prefix="s_"
    ),
    "DeepRect": lambda fast: dg.models.get_model(
        "deeprect_small14",
        **{"stem": "small_image", "in_channels": 2, "input_size": 28, "classes": 3},
        **{"width": 0.05, "hidden": (4,), "pyramid": (2, 1), "dropout": 0, "fast": fast},
    ),
}


def make(name, fast=True):
    net = BLOCKS[name](fast)
    # A parameter in front, so that every net has one to train.
    return net if name == "DeepRect" else _sequence(nn.BatchNorm(prefix="b_"), net)


def batch(name, dtype="float32"):
    size = 28 if name == "DeepRect" else 6
    rng = np.random.default_rng(2)
    return mx.nd.array(rng.standard_normal((4, 2, size, size)), dtype=dtype)


def give_values(net, dtype="float64"):
    """Give every parameter values that depend on its name and shape only."""
    for name, parameter in net.collect_params().items():
        if parameter.grad_req == "null":
            continue
        rng = np.random.default_rng(len(name) + parameter.shape[0])
        parameter.set_data(mx.nd.array(rng.normal(0.1, 0.4, parameter.shape), dtype=dtype))


def ready(name, fast=True, dtype="float32", **hybridization):
    net = make(name, fast)
    net.initialize()
    net.cast(dtype)
    net(batch(name, dtype))
    give_values(net, dtype)
    if hybridization:
        net.hybridize(**hybridization)
    return net


def run(net, x):
    """Return the output, and all gradients by name, of a backward of ones."""
    with mx.autograd.record():
        y = net(x)
    y.backward()
    gradients = {
        k: p.grad().asnumpy() for k, p in net.collect_params().items() if p.grad_req != "null"
    }
    return y.asnumpy(), gradients


@pytest.fixture(scope="module")
def expected():
    """Return a function: output and gradients of the net in float64, without our fast operators."""
    known = {}

    def look_up(name):
        if name not in known:
            known[name] = run(ready(name, fast=False, dtype="float64"), batch(name, "float64"))
        return known[name]

    return look_up


def check(actual, wanted, tolerance=2e-4):
    (y, gradients), (want_y, want_gradients) = actual, wanted
    scale = np.abs(want_y).max()
    np.testing.assert_allclose(y, want_y, rtol=tolerance, atol=tolerance * scale)
    assert gradients.keys() == want_gradients.keys()
    for key, want in want_gradients.items():
        scale = max(np.abs(want).max(), np.abs(want_y).max())
        np.testing.assert_allclose(
            gradients[key], want, rtol=10 * tolerance, atol=10 * tolerance * scale, err_msg=key
        )


def thawed(net):
    requests = {k: p.grad_req for k, p in net.collect_params().items()}
    net.collect_params().setattr("grad_req", "null")
    for key, parameter in net.collect_params().items():
        parameter.grad_req = requests[key]
    return net


def hybridized(name, folder):
    return ready(name, active=True)


def static(name, folder):
    return ready(name, static_alloc=True, static_shape=True)


def hybridized_before_the_first_call(name, folder):
    net = make(name)
    net.hybridize()
    net.initialize()
    net(batch(name))
    give_values(net)
    return net


def hybridized_and_back(name, folder):
    net = ready(name, active=True)
    net(batch(name))
    net.hybridize(False)
    return net


def saved_and_loaded(name, folder):
    ready(name).save_parameters(str(folder / "net.params"))
    net = make(name)
    net.load_parameters(str(folder / "net.params"))
    return net


def deep_copied(name, folder):
    net = copy.deepcopy(ready(name))
    # MXNet's copies of parameters have no gradients until they are asked for again.
    return thawed(net)


def sharing_parameters(name, folder):
    first = ready(name)
    second = make(name)
    own, theirs = second.collect_params(), first.collect_params()
    assert list(own) == list(theirs)
    second.initialize()
    second(batch(name))
    for key, parameter in own.items():
        parameter.set_data(theirs[key].data())
    return second


def cast_there_and_back(name, folder):
    net = ready(name)
    net.cast("float64")
    net(batch(name, "float64"))
    net.cast("float32")
    return net


def moved(name, folder):
    net = ready(name, active=True)
    net(batch(name))
    net.collect_params().reset_ctx([mx.cpu(0), mx.cpu(1)])
    net.collect_params().reset_ctx(mx.cpu(0))
    return net


def frozen_and_thawed(name, folder):
    net = ready(name, active=True)
    net(batch(name))
    return thawed(net)


def imported(name, folder):
    net = ready(name, active=True)
    with mx.autograd.train_mode():
        net(batch(name))
    net.export(str(folder / "net"))
    files = str(folder / "net-symbol.json"), str(folder / "net-0000.params")
    block = mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])
    apply_multipliers(block)
    return block


HABITS = [
    hybridized,
    static,
    hybridized_before_the_first_call,
    hybridized_and_back,
    saved_and_loaded,
    deep_copied,
    sharing_parameters,
    cast_there_and_back,
    moved,
    frozen_and_thawed,
    imported,
]


@pytest.mark.filterwarnings("ignore:Cannot decide type")
@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.__name__)
@pytest.mark.parametrize("name", BLOCKS)
def test_values_and_gradients(name, habit, expected, tmp_path):
    check(run(habit(name, tmp_path), batch(name)), expected(name))


@pytest.mark.parametrize("name", BLOCKS)
def test_summaries_and_pictures(name, capsys):
    net = ready(name)
    data = mx.sym.var("data")
    mx.viz.print_summary(net(data), shape={"data": batch(name).shape})
    net.summary(batch(name))
    assert "Total params" in capsys.readouterr().out
    repr(net)


@pytest.mark.parametrize("init", [dg.initializer.MSRA(0.25, "out", 3, {"a_weight": 0.1})])
def test_initializers_can_be_pickled_and_dumped(init):
    name, settings = json.loads(init.dumps())
    for again in (pickle.loads(pickle.dumps(init)), mx.init.create(name, **settings)):
        assert vars(again) == vars(init)


@pytest.mark.parametrize("name", [name for name in BLOCKS if "Pool" not in name])
def test_two_devices_give_the_gradients_of_one(name):
    net = BLOCKS[name](True)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    x = batch(name)
    net(x)
    give_values(net, "float32")
    with mx.autograd.record():
        whole = net(x)
    whole.backward()
    wanted = [p.grad(mx.cpu(0)).asnumpy() for p in net.collect_params().values()]
    parts = mx.gluon.utils.split_and_load(x, [mx.cpu(0), mx.cpu(1)])
    with mx.autograd.record():
        outputs = [net(part) for part in parts]
    mx.autograd.backward(outputs)
    for want, parameter in zip(wanted, net.collect_params().values()):
        total = sum(g.asnumpy() for g in parameter.list_grad())
        np.testing.assert_allclose(total, want, rtol=1e-3, atol=1e-3 * np.abs(want).max())


@pytest.mark.parametrize("name", BLOCKS)
def test_a_trainer_s_states_continue_a_training(name, tmp_path):
    def steps(net, trainer, count):
        for _ in range(count):
            with mx.autograd.record():
                loss = net(batch(name)).square().mean()
            loss.backward()
            trainer.step(4)

    def trainer_of(net):
        settings = {"learning_rate": 0.01, "momentum": 0.9, "wd": 1e-3}
        return mx.gluon.Trainer(net.collect_params(), "fusedsgd", settings)

    through, first, second = (ready(name, active=True) for _ in range(3))
    steps(through, trainer_of(through), 4)
    trainer = trainer_of(first)
    steps(first, trainer, 2)
    trainer.save_states(str(tmp_path / "states"))
    first.save_parameters(str(tmp_path / "net"))
    second.load_parameters(str(tmp_path / "net"))
    trainer = trainer_of(second)
    trainer.load_states(str(tmp_path / "states"))
    steps(second, trainer, 2)
    for a, b in zip(through.collect_params().values(), second.collect_params().values()):
        np.testing.assert_array_equal(a.data().asnumpy(), b.data().asnumpy())


@pytest.mark.parametrize("name", BLOCKS)
def test_bucketing(name):
    """Batches of two sizes share the parameters of one module."""

    def generate(images):
        net = make(name)
        return (
            mx.sym.SoftmaxOutput(net(mx.sym.var("data")).flatten(), name="out"),
            ["data"],
            ["out_label"],
        )

    shape, labels = batch(name).shape, ready(name)(batch(name)).shape[0]
    module = mx.mod.BucketingModule(generate, default_bucket_key=labels)
    module.bind([("data", shape)], [("out_label", (labels,))])
    module.init_params(mx.init.Xavier() if name != "DeepRect" else mx.init.Normal(0.1))
    module.init_optimizer(optimizer_params={"learning_rate": 0.01})
    for images in (4, 2, 4):
        data = batch(name)[:images]
        part = mx.io.DataBatch(
            [data],
            [mx.nd.zeros(images)],
            bucket_key=images,
            provide_data=[("data", data.shape)],
            provide_label=[("out_label", (images,))],
        )
        module.forward(part)
        module.backward()
        module.update()
        assert np.isfinite(module.get_outputs()[0].asnumpy()).all()


@pytest.mark.parametrize("name", BLOCKS)
def test_threads_share_a_net(name, expected):
    net = ready(name, active=True)
    x = batch(name)
    want = net(x).asnumpy()
    results, errors = [None] * 8, []

    def work(i):
        try:
            results[i] = net(x).asnumpy()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    for result in results:
        np.testing.assert_array_equal(result, want)


def _run_in_a_child(connection):
    outputs = {}
    for name in BLOCKS:
        net = ready(name)
        outputs[name] = net(batch(name)).asnumpy()
    connection.send(outputs)


def test_a_forked_child_runs_every_block():
    """MXNet's engine starts anew in a child."""
    want = {name: ready(name)(batch(name)).asnumpy() for name in BLOCKS}
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_run_in_a_child, args=(theirs,))
    child.start()
    theirs.close()
    assert ours.poll(120), "the child did not answer"
    outputs = ours.recv()
    child.join(30)
    assert child.exitcode == 0
    for name, values in want.items():
        np.testing.assert_array_equal(outputs[name], values)


def test_estimator():
    net = _sequence(dg.nn.ConvPReLU(4, 3, fast=True), dg.nn.MaxPool2D(2), dg.nn.Dense(3, fast=True))
    net.initialize(mx.init.Normal(0.1))
    net.hybridize()
    data = mx.gluon.data.ArrayDataset(X, np.arange(4) % 3)
    estimator = mx.gluon.contrib.estimator.Estimator(
        net,
        mx.gluon.loss.SoftmaxCrossEntropyLoss(),
        train_metrics=mx.metric.Accuracy(),
        trainer=mx.gluon.Trainer(net.collect_params(), "fusedsgd", {"momentum": 0.9}),
    )
    estimator.fit(mx.gluon.data.DataLoader(data, 2), epochs=2)
    assert np.isfinite(net(mx.nd.array(X)).asnumpy()).all()
