"""Every area of attacks, in a short form; `make attack MINUTES=…` is the long one."""

import subprocess
import sys

import pytest

from tests.attacks.__main__ import AREAS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("area", AREAS)
def test_nothing_crashes_or_is_believed(area):
    command = [sys.executable, "-m", "tests.attacks", area, "--trials", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
