"""Shared by all tests: imports the package first, so that it prepares MXNet's environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import deeprect_gluon  # noqa: F401

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(scope="session")
def run_program():
    """Return a function that runs tests/programs/<name>.py in a fresh interpreter.

    The environment is this one with the keyword arguments set, or removed where they are None. A
    program that fails or crashes fails the test with its own last words; so does one that has not
    ended after `timeout` seconds.
    """

    def run(name, *args, timeout=300, **environment):
        env = {**os.environ, **environment}
        done = subprocess.run(
            [sys.executable, str(PROGRAMS / f"{name}.py"), *args],
            env={key: value for key, value in env.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr[-4000:]}"
        return done.stdout

    return run
