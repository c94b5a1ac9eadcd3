"""The training command as a user calls it: alone, twice, on two ranks, and with bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import pytest

from deeprect_gluon.train.history import read

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "scripts" / "train_fashion_mnist.py")
# A net that is trained in seconds.
TINY = ["--width", "0.0625", "--hidden", "16", "16", "--epochs", "1", "--max-steps", "3"]
TINY += ["--batch-size", "32"]


def train(output, *arguments, launcher=(), **environment):
    command = [sys.executable, *launcher, SCRIPT, *TINY, "--output", str(output), *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def train_with_seed(folder):
    """Train, and return what the command prints."""
    done = train(folder, "--augment", "--seed", "3")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Return the folder of a run, and what the command printed."""
    folder = tmp_path_factory.mktemp("run") / "first"
    return folder, train_with_seed(folder)


def test_a_training_leaves_a_whole_run(first):
    folder, said = first
    config = json.loads((folder / "config.json").read_text())
    assert config["model"]["name"] == "deeprect_small14"
    assert config["train"]["seed"] == 3
    assert config["augment"] is True
    assert "--seed 3" in config["command"]
    (row,) = read(folder / "history.csv")
    assert row.step == 3
    assert said.splitlines()[-1].startswith(f"test error {row.val_error:.2%}")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_command_gives_the_same_weights(first, tmp_path):
    train_with_seed(tmp_path / "second")
    folders = first[0], tmp_path / "second"
    one, other = ((folder / "weights.params").read_bytes() for folder in folders)
    assert one == other


@pytest.mark.slow
def test_two_ranks_end_as_one_does(tmp_path):
    pytest.importorskip("horovod.mxnet", reason="Horovod could not be built on this machine")
    horovodrun = str(Path(sys.executable).with_name("horovodrun"))
    launcher = [horovodrun, "-np", "2", "--gloo", "-H", "localhost:2", sys.executable]
    for name, how in (("one", ()), ("two", launcher)):
        done = train(tmp_path / name, "--dropout", "0", launcher=how)
        assert done.returncode == 0, done.stderr
    one, two = (mx.nd.load(str(tmp_path / name / "weights.params")) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        assert abs(one[name] - two[name]).max().asscalar() < 1e-4, name
    assert json.loads((tmp_path / "two" / "config.json").read_text())["workers"] == 2


def test_unknown_model_is_refused(tmp_path, run_script):
    output = ("--output", tmp_path / "run")
    done = run_script("train_fashion_mnist.py", *TINY, *output, "--model", "deeprect_d")
    assert done.returncode == 2
    assert "invalid choice: 'deeprect_d'" in done.stderr
    assert not (tmp_path / "run").exists()


def test_truncated_data_is_one_sentence_and_leaves_no_run(tmp_path, monkeypatch, run_script):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08\x00")
    monkeypatch.setenv("DEEPRECT_DATA", str(tmp_path))
    done = run_script("train_fashion_mnist.py", *TINY, "--output", tmp_path / "run")
    assert done.returncode == 1
    (sentence,) = [line for line in done.stderr.splitlines() if "train_fashion_mnist.py" in line]
    assert "train-images-idx3-ubyte.gz is truncated or damaged" in sentence
    assert not (tmp_path / "run").exists()
