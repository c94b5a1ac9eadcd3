"""Command line of the study: do the runs that have no row yet, and write or check the report."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Sequence

from .claim import Claim
from .claims import CLAIMS
from .report import Report
from .runner import run_pending

FULL, QUICK = Path("docs"), Path("runs", "reproduce-quick")
STOPPED = "stopped; the same command goes on"


def _parse(argv: Sequence[str] | None, claims: Sequence[Claim]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m study", description=__doc__)
    add = parser.add_argument
    add("action", choices=("run", "report"), help="do what has no row yet and report, or report")
    add("--quick", action="store_true", help="the reduced form")
    help_folder = f"of rows and report (default: {FULL}, or {QUICK} for the reduced form)"
    add("--folder", type=Path, help=help_folder)
    add("--claims", nargs="+", choices=[c.name for c in claims if c.measure], help="run only these")
    add("--jobs", type=int, default=0, help="processes at a time (default: physical cores)")
    add("--check", action="store_true", help="write no report; fail if the rows give another one")
    return parser.parse_args(argv)


def _run(claims: Sequence[Claim], folder: Path, quick: bool, jobs: int) -> None:
    # So that the processes of the runs are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    failures = run_pending(claims, folder, quick, jobs)
    if failures:
        raise RuntimeError(f"{len(failures)} runs failed, the first: {failures[0]}")


def _check(report: Report) -> None:
    problems = report.problems()
    if problems:
        raise ValueError("; ".join(problems) + "; write the report again")


def main(argv: Sequence[str] | None = None, claims: Sequence[Claim] = CLAIMS) -> None:
    """Run and report the claims as the command line says."""
    args = _parse(argv, claims)
    folder = args.folder or (QUICK if args.quick else FULL)
    try:
        if args.action == "run":
            chosen = [c for c in claims if not args.claims or c.name in args.claims]
            _run(chosen, folder, args.quick, args.jobs)
        report = Report(claims, folder, args.quick)
        if args.check:
            _check(report)
        else:
            print(report.write())
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"study: {error}")


if __name__ == "__main__":
    main()
