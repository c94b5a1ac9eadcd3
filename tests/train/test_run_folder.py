"""The folder of a run: refused, failed and simultaneous trainings leave nothing false in it."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon import models
from deeprect_gluon.data import Batches
from deeprect_gluon.files import locked
from deeprect_gluon.initializer import initialize
from deeprect_gluon.train import Checkpoints, Task, TrainConfig, Workers, train
from deeprect_gluon.train.checkpoint import read
from deeprect_gluon.train.history import read as read_history
from zoo.publishing.publish import publish

CONFIG = TrainConfig(epochs=2, batch_size=12, lr=0.01, report_every=3, checkpoint_every=2)
NET = {"stem": "small_image", "in_channels": 1, "input_size": 28, "pyramid": (2, 1), "classes": 10}
DESCRIPTION = {
    "dataset": "fashion_mnist",
    "augment": False,
    "data": {"folder": "/here", "sides": (28, 32), "colour": 0.1},
    "train_records": "1234",
    "init": "msra",
}


class Watched(Batches):
    """Batches that call a function with (step, images) before each step."""

    def __init__(self, watch):
        rng = np.random.default_rng(0)
        images = rng.normal(size=(60, 1, 28, 28)).astype(np.float32)
        super().__init__(images, np.arange(60, dtype=np.int32) % 2, 12, shuffle=True)
        self.watch = watch

    def epoch(self, epoch=0, start=0):
        for step, (images, labels) in enumerate(super().epoch(epoch, start), start):
            self.watch(epoch * len(self) + step, images)
            yield images, labels


def run(folder, config=CONFIG, resume=False, watch=lambda *_: None, net=(), **description):
    built = models.get_model("deeprect_small14", width=0.05, hidden=(16,), **{**NET, **dict(net)})
    initialize(built, "msra", "in", 1)
    task = Task(built, Watched(watch), None, "tiny", {**DESCRIPTION, **description})
    return train(task, config, folder, Workers(), resume)


def content(folder):
    """Return what a folder holds; the lock's file says who had it last."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"config": dataclasses.replace(CONFIG, lr=0.5)}, "lr=0.01, not 0.5"),
        ({"net": {"dropout": 0.1}}, "dropout=0.5, not 0.1"),
        ({"net": {"activation": "relu"}}, "activation=prelu, not relu"),
        ({"augment": True}, "augment=False, not True"),
        ({"dataset": "imagenet"}, "dataset=fashion_mnist, not imagenet"),
        ({"data": {"folder": "/here", "sides": (28, 28), "colour": 0.2}},
         r"colour=0.1, not 0.2; sides=\[28, 32\], not \[28, 28\]"),
        ({"train_records": "5678"}, "train_records=1234, not 5678"),
        ({"init": "xavier"}, "init=msra, not xavier"),
    ],
)  # fmt: skip
def test_a_resume_with_other_settings_is_refused_and_changes_nothing(folder, changed, words):
    before = content(folder)
    with pytest.raises(ValueError, match=f"cannot be continued: it was made with {words}"):
        run(folder, resume=True, **changed)
    assert content(folder) == before


def test_what_changes_no_step_may_change(folder):
    data = {**DESCRIPTION["data"], "folder": "/elsewhere"}
    longer = dataclasses.replace(CONFIG, epochs=3, report_every=5, checkpoint_every=5)
    assert run(folder, longer, resume=True, data=data).rows[-1].step == 15


def test_a_failed_training_does_not_leave_its_settings_beside_the_weights_of_another(tmp_path):
    once = dataclasses.replace(CONFIG, checkpoint_every=0)
    run(tmp_path / "run", once)
    with pytest.raises(FloatingPointError):
        run(tmp_path / "run", dataclasses.replace(once, lr=1e30))
    with pytest.raises(FileNotFoundError, match="has no weights.params; give the folder of a fin"):
        publish(tmp_path / "run", to=tmp_path / "store")


def test_two_trainings_in_one_folder(folder):
    before = content(folder)
    holder = "import sys\nfrom deeprect_gluon.files import locked\nfrom pathlib import Path\n"
    holder += "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()\n"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", holder, str(folder)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"process {other.pid} on .* works in {folder};"):
            run(folder, resume=True)
        assert content(folder) == before
        other.kill()
    assert other.returncode == -signal.SIGKILL
    run(folder, resume=True)  # the lock ended with its process


def test_a_training_holds_the_lock_until_it_ends(tmp_path):
    def watch(*_):
        words = f"process {os.getpid()} on .* works in"
        with pytest.raises(BlockingIOError, match=words), locked(tmp_path):
            pass

    run(tmp_path, watch=watch)
    with locked(tmp_path):
        pass


def spoil(at):
    """Make the images of a step NaN."""

    def watch(step, images):
        if step == at:
            images[:] = float("nan")

    return watch


def test_nan_between_two_reports_is_in_no_checkpoint(tmp_path):
    config = dataclasses.replace(CONFIG, report_every=100, checkpoint_every=1)
    with pytest.raises(FloatingPointError, match="the loss became nan between steps 0 and 4"):
        run(tmp_path, config, watch=spoil(3))
    found = Checkpoints(tmp_path / "checkpoints").found()
    assert [step for step, _ in found] == [2, 3]
    for _, path in found:
        assert all(np.isfinite(array).all() for array in read(path)[0].values())
    assert not (tmp_path / "weights.params").exists()
    run(tmp_path, config, resume=True)
    undisturbed = tmp_path / "undisturbed"
    run(undisturbed, config)
    assert (tmp_path / "weights.params").read_bytes() == (
        undisturbed / "weights.params"
    ).read_bytes()


@pytest.mark.parametrize("every", [0, 1])
def test_weights_that_the_last_step_made_infinite_are_not_saved(tmp_path, every):
    """The loss of a step is that of the weights before it, so no loss shows this."""
    config = dataclasses.replace(
        CONFIG, lr=1e38, weight_decay=1e9, max_steps=1, checkpoint_every=every
    )
    with pytest.raises(FloatingPointError, match="weights or their momentum became NaN or inf"):
        run(tmp_path, config)
    names = {path.name for path in tmp_path.rglob("*")}
    assert not [name for name in names if name.endswith((".params", ".safetensors"))]


@pytest.mark.parametrize("every", [0, 2, 4])
def test_a_folder_removed_during_the_training_is_an_error(tmp_path, every):
    folder = tmp_path / "run"

    def watch(step, _):
        if step == 5:
            shutil.rmtree(folder)

    with pytest.raises(OSError, match="removed during the training|could not be written"):
        run(folder, dataclasses.replace(CONFIG, checkpoint_every=every), watch=watch)
    assert not folder.exists()


def test_a_folder_removed_and_made_again_is_not_written_to(tmp_path):
    folder = tmp_path / "run"

    def watch(step, _):
        if step == 5:
            shutil.rmtree(folder)
            (folder / "checkpoints").mkdir(parents=True)

    with pytest.raises(FileNotFoundError, match="of the run was removed during the training"):
        run(folder, watch=watch)
    assert not content(folder)


def test_a_checkpoint_is_used_without_its_history(folder, caplog):
    longer = dataclasses.replace(CONFIG, epochs=3)
    whole = shutil.copytree(folder, folder.with_name("whole"))
    (folder / "history.csv").unlink()
    for each in (whole, folder):
        run(each, longer, resume=True)
    assert f"{folder / 'history.csv'} is missing; its rows up to the checkpoint are lost" in (
        caplog.text
    )
    assert [row.step for row in read_history(folder / "history.csv")] == [12, 15]
    one, other = ((each / "weights.params").read_bytes() for each in (whole, folder))
    assert one == other
    before = content(folder)
    (folder / "history.csv").write_text("step,loss\n")
    with pytest.raises(ValueError, match="has columns .* repair it, or remove it to go on without"):
        run(folder, longer, resume=True)
    assert (folder / "history.csv").read_text() == "step,loss\n"
    assert content(folder).keys() == before.keys()


def test_weights_are_those_that_gluon_saves(finished, tmp_path):
    net = models.get_model("deeprect_small14", width=0.05, hidden=(16,), **NET)
    net.load_parameters(str(finished / "weights.params"))
    net.save_parameters(str(tmp_path / "weights.params"))
    assert (tmp_path / "weights.params").read_bytes() == (finished / "weights.params").read_bytes()
    assert mx.nd.load(str(finished / "weights.params"))["output.weight"].shape == (10, 16)
