"""Every public function and block with hostile arguments: a result, or an error of our own.

Each is called with one argument wrong at a time: of another type, without axes or elements, of one
element, too large, not ASCII, an NDArray where an array is asked for and the other way round.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "programs" / "hostile_arguments.py"


def test_no_call_ends_the_process_or_fails_inside_a_library():
    done: dict[int, list[str]] = {}
    problems, deaths = [], 0
    while True:
        child = subprocess.run(
            [sys.executable, "-W", "ignore", str(PROGRAM), str(max(done, default=-1) + 1)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        for line in child.stdout.splitlines():
            number, *words = line.split("\t")
            done[int(number)] = words
        if child.returncode == 0:
            break
        assert done, child.stderr
        deaths += 1
        last = max(done)
        problems.append(f"{done[last][0]} ended the process with status {child.returncode}")
        assert deaths < 20, problems
    assert len(done) > 2700
    assert all(" as it should be" not in w[0] or w[2] == "a result" for w in done.values())
    problems += ["; ".join(words) for words in done.values() if words[1:] and words[1] != "ok"]
    assert not problems
