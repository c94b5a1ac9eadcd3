"""The study as it runs: processes of their own, failures, kills, and going on afterwards."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.claim import Claim, runs
from study.rows import add_row, read_rows, rows_path
from study.runner import pending, run_pending

ROOT = Path(__file__).parents[2]

# What a run does is told by files beside the script: fail.SEED, hang.SEED.
TOY = """
import os, time
from pathlib import Path
from study.claim import Claim

HERE = Path(__file__).parent

def measure(config, seed):
    (HERE / f"began.{seed}").write_text(str(os.getpid()))
    if (HERE / f"fail.{seed}").exists():
        raise ValueError("the toy is broken")
    while (HERE / f"hang.{seed}").exists():
        time.sleep(0.05)
    return {"value": config["x"] + seed}

CLAIM = Claim("toy", "Toy.", findings=lambda results: [], cases=lambda quick: {"a": {"x": 10}},
              measure=measure, seeds=2)
"""
# The command of a study of the toy alone.
STUDY = "import sys, toy; from study.__main__ import main; main(sys.argv[1:], [toy.CLAIM])"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Return the toy, a module that this process and those that it starts can import."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    yield importlib.import_module("toy").CLAIM
    del sys.modules["toy"]


def test_a_failed_run_is_reported_and_done_again(toy, tmp_path):
    fault = tmp_path / "fail.1"
    fault.touch()
    (failure,) = run_pending([toy], tmp_path, jobs=2)
    assert failure == "toy: a, seed 1: failed with status 1: toy: the toy is broken"
    (row,) = read_rows(rows_path(tmp_path, "toy"))
    assert (row["case"], row["seed"], row["config"], row["threads"]) == ("a", 0, {"x": 10}, 1)
    assert row["result"] == {"value": 10}

    fault.unlink()
    (tmp_path / "began.0").unlink()
    assert run_pending([toy], tmp_path, jobs=1) == []
    assert not (tmp_path / "began.0").exists()  # what is done is not done again
    values = [row["result"]["value"] for row in read_rows(rows_path(tmp_path, "toy"))]
    assert values == [10, 11]
    assert run_pending([toy], tmp_path) == []


def test_a_killed_study_keeps_its_rows_and_leaves_no_process(toy, tmp_path):
    (tmp_path / "hang.1").touch()
    command = [sys.executable, "-c", STUDY, "run", "--folder", str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (rows_path(tmp_path, "toy").exists() and (tmp_path / "began.1").exists()):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int((tmp_path / "began.1").read_text())
    parent.send_signal(signal.SIGTERM)
    _, errors = parent.communicate(timeout=300)
    assert errors.splitlines()[-1] == "stopped; the same command goes on"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert [row["seed"] for row in read_rows(rows_path(tmp_path, "toy"))] == [0]


def claim(name, **options):
    cases = {"a": {"x": 1}, "b": {"x": (2, 3)}}
    return Claim(name, f"{name}.", lambda results: [], lambda quick: cases, **options)


def test_first_seeds_come_early_and_timings_last(tmp_path):
    claims = [claim("timing", alone=True), claim("other"), claim("main", first=True, seeds=3)]
    order = [(run.claim.name, run.seed) for run in pending(claims, tmp_path, quick=False)]
    expected = [("main", 0), ("other", 0), ("main", 1), ("main", 2)]
    expected += [("other", s) for s in range(1, 5)] + [("timing", s) for s in range(5)]
    assert order[::2] == order[1::2] == expected


def test_a_run_of_another_configuration_does_not_count(tmp_path):
    toy = claim("toy", seeds=1)
    for run in runs(toy, quick=False):
        add_row(rows_path(tmp_path, "toy"), {**run._asdict(), "claim": "toy", "result": {}})
    assert pending([toy], tmp_path, quick=False) == []
    path = rows_path(tmp_path, "toy")
    path.write_text(path.read_text().replace('{"x": 1}', '{"x": 7}'))
    (run,) = pending([toy], tmp_path, quick=False)
    assert (run.case, run.config) == ("a", {"x": 1})
