"""Do the runs that have no row yet, several at a time, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Iterator, Sequence

from deeprect_gluon import native

from .claim import Claim, Run, runs
from .rows import read_rows, rows_path


def pending(claims: Sequence[Claim], folder: Path, quick: bool) -> list[Run]:
    """Return the runs without a row, in the order in which to do them.

    The first seed of every claim comes before the other seeds. Among both, claims marked `first`
    come before other claims. Timings (`alone`) come last.
    """
    waiting = []
    for claim in claims:
        rows = read_rows(rows_path(folder, claim.name))
        waiting += [run for run in runs(claim, quick) if not any(map(run.made, rows))]

    def rank(run: Run) -> tuple:
        later = run.seed > 0
        return run.claim.alone, 2 * later + (not run.claim.first), run.seed

    return sorted(waiting, key=rank)


class _Process:
    """One run in a process of its own, see `study.worker`."""

    def __init__(self, run: Run, folder: Path, quick: bool, threads: int):
        self.run, self._begun = run, time.perf_counter()
        assert run.claim.measure is not None  # other claims have no runs
        module = run.claim.measure.__module__
        what = [module, run.case, str(run.seed), str(folder)]
        command = [sys.executable, "-m", "study.worker", *what]
        self._errors: IO = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the run)
        self._process = subprocess.Popen(
            [*command, "--quick"] if quick else command,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=self._errors,
            stderr=self._errors,
        )

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def report(self) -> tuple[bool, str]:
        """Return whether the run succeeded, and a line about it."""
        what = f"{self.run.claim.name}: {self.run.case}, seed {self.run.seed}"
        if self._process.returncode == 0:
            return True, f"{what}: {time.perf_counter() - self._begun:.0f} s"
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["no message"])[-1]
        return False, f"{what}: failed with status {self._process.returncode}: {last}"

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def run_pending(
    claims: Sequence[Claim], folder: Path, quick: bool = False, jobs: int = 0
) -> list[str]:
    """Do all runs that have no row yet.

    Parameters
    ----------
    claims : sequence of Claim
    folder : Path
        Rows are written to its `results`.
    quick : bool
        The reduced form of the claims.
    jobs : int
        Number of processes at a time, each with one thread; by default the number of physical
        cores. Results do not depend on it.

    Returns
    -------
    list of str
        A line about each run that failed. All other runs are done.
    """
    jobs = jobs or native.physical_cores()
    waiting = pending(claims, folder, quick)
    total, done, failures = len(waiting), 0, []
    running: list[_Process] = []
    try:
        while waiting or running:
            for process in [p for p in running if p.ended]:
                running.remove(process)
                done += 1
                good, line = process.report()
                print(f"[{done}/{total}] {line}", flush=True)
                failures += [] if good else [line]
            for run in _startable(waiting, running, jobs):
                threads = native.physical_cores() if run.claim.alone else 1
                running.append(_Process(run, folder, quick, threads))
            time.sleep(0.1)
    finally:
        for process in running:
            process.stop()
    return failures


def _startable(waiting: list[Run], running: list[_Process], jobs: int) -> Iterator[Run]:
    """Take the next waiting runs that may start now; timings run alone."""
    while waiting and len(running) < jobs:
        if running and (waiting[0].claim.alone or running[0].run.claim.alone):
            return
        yield waiting.pop(0)
