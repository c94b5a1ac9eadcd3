"""Trainings that are killed and continued end with the bits of one that was not."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "programs" / "train_tiny.py"
RANKS = 2


def train(folder, *arguments, ranks=1):
    command = [sys.executable, str(PROGRAM), str(folder), *arguments]
    if ranks > 1:
        horovodrun = str(Path(sys.executable).with_name("horovodrun"))
        hosts = ["-np", str(ranks), "--gloo", "-H", f"localhost:{ranks}"]
        command = [sys.executable, horovodrun, *hosts, *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def outcome(folder):
    """Return what a training leaves, less what a clock measured."""
    with (folder / "history.csv").open(newline="") as file:
        rows = [
            {name: value for name, value in row.items() if name != "images_per_second"}
            for row in csv.DictReader(file)
        ]
    checkpoints = {path.name for path in (folder / "checkpoints").iterdir()}
    return (folder / "weights.params").read_bytes(), rows, checkpoints


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    done = train(folder)
    assert done.returncode == 0, done.stderr
    weights, rows, checkpoints = outcome(folder)
    assert [row["step"] for row in rows] == ["3", "5", "6", "9", "10", "12", "15"]
    assert [float(row["lr"]) for row in rows][-1] == pytest.approx(0.002)  # a plateau
    assert len(checkpoints) == 3
    return weights, rows, checkpoints


def test_killed_cut_short_and_stopped(undisturbed, tmp_path):
    folder = tmp_path / "run"
    killed = train(folder, "kill@3")
    assert killed.returncode == -signal.SIGKILL
    cut = train(folder, "cut@5")
    assert cut.returncode == -signal.SIGXFSZ
    unfinished = list((folder / "checkpoints").glob(".*"))
    assert [path.stat().st_size for path in unfinished] == [4096]  # it died inside a checkpoint
    newest = max((folder / "checkpoints").glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    full = train(folder, "full@8")
    assert full.returncode == 1
    assert f"{newest} is damaged" in full.stderr
    (sentence,) = [line for line in full.stderr.splitlines() if line.startswith("train_tiny:")]
    assert "the checkpoint of step 10 could not be written (File too large)" in sentence
    stopped = train(folder, "term@10")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped by SIGTERM after step 11 of 15\n")
    done = train(folder)
    assert done.returncode == 0, done.stderr
    assert outcome(folder) == undisturbed


def test_nan_stops_with_its_place(tmp_path):
    done = train(tmp_path, "nan@4")
    assert done.returncode == 1
    assert "train_tiny: the loss became nan between steps 3 and 5 (epoch 0, learning" in done.stderr


def test_ranks_killed_and_stopped(tmp_path):
    pytest.importorskip("horovod.mxnet", reason="Horovod could not be built on this machine")
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "run"
    assert train(undisturbed, ranks=RANKS).returncode == 0
    one = train(folder, "kill@3", "--rank", "1", ranks=RANKS)
    assert one.returncode != 0
    every = train(folder, "kill@8", ranks=RANKS)
    assert every.returncode != 0
    stopped = train(folder, "term@11", "--rank", "1", ranks=RANKS)
    assert stopped.returncode == 0, stopped.stderr
    said = [line for line in stopped.stdout.splitlines() if "stopped by SIGTERM after" in line]
    assert len(said) == RANKS
    assert len({line.split(":", 1)[1] for line in said}) == 1  # at the same step
    done = train(folder, ranks=RANKS)
    assert done.returncode == 0, done.stderr
    assert outcome(folder) == outcome(undisturbed)


def test_another_training_is_not_continued(tmp_path):
    assert train(tmp_path, "term@1").returncode == 0
    done = train(tmp_path, "--lr", "0.5")
    assert done.returncode == 1
    (path,) = (tmp_path / "checkpoints").iterdir()
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("train_tiny:")]
    assert sentence == (
        f"train_tiny: {path} cannot be continued: it was made with lr=0.02, not 0.5"
    )
