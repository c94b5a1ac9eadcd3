"""Do one run of a claim, and write its row.

`python -m study.worker MODULE CASE SEED FOLDER [--quick]`; the claim is `CLAIM` of the module.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Sequence

from deeprect_gluon import native
from deeprect_gluon.version import __version__

from .claim import Run, runs
from .rows import add_row, rows_path

ROOT = Path(__file__).parents[1]


def commit() -> str | None:
    """Return the commit of the code, with "+changes" if files differ; None without git."""

    def git(*arguments: str) -> subprocess.CompletedProcess:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    try:
        head = git("rev-parse", "--short", "HEAD")
        if head.returncode:
            return None
        changes = git("status", "--porcelain", "--", "deeprect_gluon", "src", "study").stdout
    except FileNotFoundError:
        return None
    return head.stdout.strip() + ("+changes" if changes else "")


def measure(run: Run, folder: Path) -> None:
    """Do a run in this process, and write its row."""
    native.keep_memory()
    version = commit()
    begun = time.perf_counter()
    assert run.claim.measure is not None  # other claims have no runs
    result = run.claim.measure(run.config, run.seed)
    row = {
        "case": run.case,
        "seed": run.seed,
        "config": run.config,
        "version": __version__,
        "commit": version,
        "threads": native.threads(),
        "isa": native.isa(),
        "seconds": round(time.perf_counter() - begun, 1),
        "result": result,
    }
    add_row(rows_path(folder, run.claim.name), row)


def main(argv: Sequence[str] | None = None) -> None:
    """Do the run that the command line names."""
    parser = argparse.ArgumentParser(description="Do one run of a claim.")
    parser.add_argument("module")
    parser.add_argument("case")
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(argv)
    claim = importlib.import_module(args.module).CLAIM
    (run,) = (r for r in runs(claim, args.quick) if (r.case, r.seed) == (args.case, args.seed))
    try:
        measure(run, args.folder)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{claim.name}: {error}")


if __name__ == "__main__":
    main()
