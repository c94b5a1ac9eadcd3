"""Attack the project with what strangers bring, and count what came of it.

    python -m tests.attacks [AREA …] [--minutes 10 | --trials 200] [--first 0]

Each module beside this one is an area. Its `attack(folder)` is a context manager that prepares
files in an empty folder and yields `trial(random)`: one hostile input, whose outcome is returned in
a word such as "refused" or "accepted". A trial fails if it raises. It also fails if its process
ends, takes more than 4 GiB of memory beyond what preparing took, or is not done within a minute.
Trial i is always the same: repeat it with `--first i --trials 1`.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import importlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from deeprect_gluon.errors import suggest

HERE = Path(__file__).parent
AREAS = sorted(path.stem for path in HERE.glob("[a-z]*.py") if not path.stem.startswith("test_"))
DEADLINE = 60  # seconds of a trial
MEMORY = 4 << 30  # bytes that a trial may take


def run(area: str, first: int, trials: int, seconds: float) -> None:
    """Make trials, until one fails or their number or time is over, and print the counts."""
    module = importlib.import_module(f"tests.attacks.{area}")
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder, module.attack(Path(folder)) as trial:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        end = time.monotonic() + seconds
        for number in range(first, first + trials):
            if time.monotonic() > end:
                break
            # What a crash leaves on the screen: the number of the trial.
            print(f"\r{area}: trial {number}", end="", file=sys.stderr, flush=True)
            faulthandler.dump_traceback_later(DEADLINE, exit=True)
            counts[trial(np.random.default_rng([0, number]))] += 1
            faulthandler.cancel_dump_traceback_later()
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common())
    print(f"\r{area}: {sum(counts.values()):,} trials: {outcomes}")


def main() -> int:
    """Run every area in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("areas", nargs="*", metavar="AREA", help=", ".join(AREAS))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=1e9, help="of all areas together")
    length.add_argument("--trials", type=int, default=1 << 62, help="of each area")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    args = parser.parse_args()
    areas = args.areas or AREAS
    for area in areas:
        if area not in AREAS:
            parser.error(f"unknown area {area!r}; {suggest(area, AREAS)}")
    if len(areas) == 1:
        run(areas[0], args.first, args.trials, 60 * args.minutes)
        return 0
    limits = ["--minutes", str(args.minutes / len(areas))]
    if args.trials < 1 << 62:
        limits = ["--trials", str(args.trials)]
    command = [sys.executable, "-m", "tests.attacks", "--first", str(args.first)]
    failed = [area for area in areas if subprocess.run([*command, *limits, area]).returncode]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
