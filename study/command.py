"""The command line of the study and of each of its claims."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Sequence

from .claim import Claim, runs
from .report import Report
from .runner import measure, study

FULL, QUICK = Path("docs"), Path("runs", "reproduce-quick")


def _arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="the reduced form")
    help_folder = f"of rows and report (default: {FULL}, or {QUICK} for the reduced form)"
    parser.add_argument("--folder", type=Path, help=help_folder)
    return parser


def _run(claims: Sequence[Claim], folder: Path, quick: bool, jobs: int) -> None:
    # So that the processes of the runs are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; the same command goes on"))
    failures = study(claims, folder, quick, jobs)
    if failures:
        raise RuntimeError(f"{len(failures)} runs failed, the first: {failures[0]}")


def _check(report: Report) -> None:
    problems = report.problems()
    if problems:
        raise ValueError("; ".join(problems) + "; write the report again")


def main(claims: Sequence[Claim], description: str) -> None:
    """Run and report a study as the command line asks."""
    parser = _arguments(description)
    add = parser.add_argument
    add("action", choices=("run", "report"), help="do what has no row yet and report, or report")
    add("--claims", nargs="+", choices=[c.name for c in claims if c.measure], help="run only these")
    add("--jobs", type=int, default=0, help="processes at a time (default: physical cores)")
    add(
        "--check", action="store_true", help="write no report, but fail if it is not what rows give"
    )
    args = parser.parse_args()
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
        sys.exit("stopped; the same command goes on")
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"reproduce: {error}")


def run_claim(claim: Claim) -> None:
    """Be the script of one claim: do its runs without a row, or the one that a study asks for."""
    parser = _arguments(claim.title)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.folder or (QUICK if args.quick else FULL)
    try:
        if args.one is None:
            _run([claim], folder, args.quick, 0)
            return
        wanted = (args.one["case"], args.one["seed"])
        (run,) = [r for r in runs(claim, args.quick) if (r.case, r.seed) == wanted]
        measure(run, folder)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{claim.name}: {error}")
