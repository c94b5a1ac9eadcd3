#!/usr/bin/env python
"""Draw the loss and the error of trainings from their history.csv, also while they run."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeprect_gluon.errors import run_program
from deeprect_gluon.train.history import read
from deeprect_gluon.train.report import compare_curves


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--output", type=Path, default=Path("history.png"), help="picture")
    args = parser.parse_args(argv)
    runs = {}
    for run in args.runs:
        rows = read(run / "history.csv")
        if not rows:
            raise ValueError(f"{run / 'history.csv'} has no rows yet")
        runs[run.resolve().name] = rows
    compare_curves(runs, args.output)
    for name, rows in runs.items():
        errors = [row.val_error for row in rows if row.val_error is not None]
        best = f", best validation error {min(errors):.2%}" if errors else ""
        print(f"{name}: {rows[-1].step} steps, loss {rows[-1].train_loss:.4f}{best}")
    print(args.output)


if __name__ == "__main__":
    run_program(main)
