"""Run scripts in the process of the test."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from deeprect_gluon import native

SCRIPTS = Path(__file__).parents[2] / "scripts"


class Done(NamedTuple):
    """The exit status and the output of a script, named as `subprocess.run` names them."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run_script(monkeypatch, capfd):
    """Return a function that runs scripts/NAME with arguments, in this process."""
    monkeypatch.setattr(native, "keep_memory", lambda: True)  # it changes the whole process

    def run(name, *arguments) -> Done:
        script = str(SCRIPTS / name)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        status = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            # Python itself prints a text and ends with status 1.
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        return Done(status, *capfd.readouterr())

    return run
