"""Killed and continued trainings end with the same bits as an undisturbed one."""

import csv
import json
import re
import signal

import numpy as np
import pytest

pytestmark = pytest.mark.slow

STEPS = 15
LAST = rf"stopped by SIGTERM after step (\d+) of {STEPS}"


@pytest.fixture
def train(run_program):
    def run(ranks, *jobs):
        # Three ranks exchange some fifty arrays in a step, which takes long on a busy machine.
        said = run_program("train_tiny", str(ranks), *jobs, timeout=1800, OMP_NUM_THREADS="1")
        return [json.loads(line) for line in said.splitlines()]

    return run


def outcome(folder):
    """Return the results of a training, without measured times."""
    with (folder / "history.csv").open(newline="") as file:
        rows = [
            {name: value for name, value in row.items() if name != "images_per_second"}
            for row in csv.DictReader(file)
        ]
    checkpoints = {path.name for path in (folder / "checkpoints").iterdir()}
    return (folder / "weights.params").read_bytes(), rows, checkpoints


def test_one_process(train, tmp_path):
    undisturbed, killed, other = (tmp_path / name for name in ("undisturbed", "killed", "other"))
    first, *others = np.random.default_rng(0).choice(np.arange(1, STEPS), 4, replace=False)
    jobs = [
        f"{undisturbed}",
        f"{killed},kill,3",
        f"{killed},cut,5",
        f"{killed},full,8",
        f"{killed},term,10",
        f"{killed}",
        f"{other},kill,{first}",
        *(f"{other},kill,{step}" for step in sorted(others)),
        f"{other}",
    ]
    done = train(1, *jobs)
    dead = [-signal.SIGKILL]
    statuses = [job["statuses"] for job in done]
    assert statuses[:6] == [[0], dead, [-signal.SIGXFSZ], [1], [0], [0]], done
    assert dead in statuses[6:]
    assert statuses[-1] == [0]
    assert "the checkpoint of step 10 could not be written (File too large)" in done[3]["said"]
    assert re.findall(LAST, done[4]["said"]) == ["11"]

    _, rows, checkpoints = outcome(undisturbed)
    assert [row["step"] for row in rows] == ["3", "5", "6", "9", "10", "12", "15"]
    assert float(rows[-1]["lr"]) == pytest.approx(0.002)  # after a plateau
    assert len(checkpoints) == 3
    assert outcome(killed) == outcome(undisturbed)
    assert outcome(other) == outcome(undisturbed)


def test_three_ranks(train, tmp_path):
    """Train on three ranks: from three on, the order decides what bits a sum of gradients has."""
    pytest.importorskip("horovod.mxnet", reason="Horovod could not be built on this machine")
    undisturbed, killed = (tmp_path / name for name in ("undisturbed", "killed"))
    jobs = [
        f"{undisturbed}",
        f"{killed},kill,3,1",
        f"{killed},cut,5,0",
        f"{killed},term,7,1",
        f"{killed},nan,9,2",
        f"{killed},kill,11",
        f"{killed}",
    ]
    whole, one, cut, stopped, nan, every, rest = train(3, *jobs)
    assert whole["statuses"] == rest["statuses"] == [0, 0, 0], (whole, rest)
    # The rank of the action died of it, and all others failed too.
    assert one["statuses"][1] == -signal.SIGKILL, one
    assert cut["statuses"][0] == -signal.SIGXFSZ, cut
    assert -signal.SIGKILL in every["statuses"], every
    assert all(status for job in (one, cut, every) for status in job["statuses"]), (one, cut, every)
    # One rank was asked to stop; all did, after the same step.
    assert stopped["statuses"] == [0, 0, 0], stopped
    assert re.findall(LAST, stopped["said"]) == ["8", "8", "8"]
    # One rank saw NaN; none saved what came of it.
    assert nan["statuses"] == [1, 1, 1], nan
    assert nan["said"].count("train_tiny: the loss became nan between steps 9 and 10") == 3, nan
    assert outcome(killed) == outcome(undisturbed)
