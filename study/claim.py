"""Describe a claim of the paper: its runs, and what the report reads from their results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import reduce
from operator import getitem, itemgetter
from typing import Any, Callable, Dict, Iterable, Mapping, NamedTuple, Sequence, Union

from .figures import Figure
from .rows import Row
from .statistics import Interval, mean_interval

Config = Dict[str, Any]
Result = Dict[str, Any]
# A key of a result, or a function of the result.
Metric = Union[str, Callable[[Result], Any]]


class Finding(NamedTuple):
    """A line of the table of the report, with numbers in the unit of the paper."""

    claim: str
    paper: str
    ours: str
    verdict: str


def item(*keys: Any) -> Callable[[Result], Any]:
    """Return the metric that is found in a result under nested keys."""
    return lambda result: reduce(getitem, keys, result)


class Results:
    """The results of the finished runs of a claim, by case and seed."""

    def __init__(self, rows: Iterable[Row]):
        self._results = {(row["case"], row["seed"]): row["result"] for row in rows}

    def seeds(self, *cases: str) -> list[int]:
        """Return the seeds for which all these cases have results."""
        found = [{seed for case, seed in self._results if case == wanted} for wanted in cases]
        return sorted(set.intersection(*found))

    def values(self, case: str, metric: Metric, seeds: Sequence[int] | None = None) -> list:
        """Return the metric for each seed, in the order of the seeds."""
        get = metric if callable(metric) else itemgetter(metric)
        seeds = self.seeds(case) if seeds is None else seeds
        return [get(self._results[case, seed]) for seed in seeds]

    def mean(self, case: str, metric: Metric) -> Interval:
        """Return the mean over the seeds with its 95 % interval."""
        return mean_interval(self.values(case, metric))

    def difference(self, case: str, base: str, metric: Metric) -> Interval:
        """Return the mean of `case` minus `base`, paired by seeds, with its 95 % interval."""
        seeds = self.seeds(case, base)
        pairs = zip(self.values(case, metric, seeds), self.values(base, metric, seeds))
        return mean_interval([a - b for a, b in pairs])

    def means(self, case: str, metric: Metric) -> list[Interval]:
        """Return `mean` of each element of a metric that is a list."""
        return [mean_interval(values) for values in zip(*self.values(case, metric))]

    def differences(self, case: str, base: str, metric: Metric) -> list[Interval]:
        """Return `difference` of each element of a metric that is a list."""
        seeds = self.seeds(case, base)
        pairs = zip(self.values(case, metric, seeds), self.values(base, metric, seeds))
        points = zip(*([a - b for a, b in zip(*pair)] for pair in pairs))
        return [mean_interval(values) for values in points]


def _none(*_: object) -> list:
    return []


@dataclass(frozen=True)
class Claim:
    """A claim, which a module of `study.claims` declares.

    Parameters
    ----------
    name : str
        The name of the module, and of the file of rows.
    doc : str
        The docstring of the module. The first line is the heading in the report, the rest is the
        explanation.
    cases : callable
        `cases(quick)` returns the configurations to measure, in JSON's types, by their names.
    measure : callable
        `measure(config, seed)` does one run and returns its result, in JSON's types. Each run has a
        process of its own, with one thread, or with all cores if `alone`.
    seeds : int
        Number of runs of each case; the quick form does two.
    findings : callable
        `findings(results)` returns the lines of the table of the report.
    table : callable
        `table(results)` returns a table of details: rows of cells, the first row is the head.
    figures : callable
        `figures(results)` returns the figures.
    reads : str
        For a claim without runs, the claim with the runs that it reads.
    first : bool
        Whether its runs come early, see `runner.pending`.
    alone : bool
        Whether it is a timing: done last, one run at a time, with all cores.
    """

    name: str
    doc: str
    findings: Callable[[Results], list[Finding]]
    cases: Callable[[bool], Mapping[str, Config]] = lambda quick: {}
    measure: Callable[[Config, int], Result] | None = None
    seeds: int = 5
    table: Callable[[Results], list[list[str]]] = _none
    figures: Callable[[Results], list[Figure]] = _none
    reads: str = ""
    first: bool = False
    alone: bool = False

    @property
    def title(self) -> str:
        """The heading in the report."""
        return self.doc.strip().partition("\n")[0].rstrip(".")

    @property
    def text(self) -> str:
        """The explanation in the report."""
        return self.doc.strip().partition("\n")[2].strip()


class Run(NamedTuple):
    """One run of a claim."""

    claim: Claim
    case: str
    config: Config
    seed: int

    def made(self, row: Row) -> bool:
        """Return True if a row is of this run with its present configuration."""
        return (row["case"], row["seed"], row["config"]) == (self.case, self.seed, self.config)


def runs(claim: Claim, quick: bool) -> list[Run]:
    """Return all runs of a claim, ordered by seed."""
    # Through JSON, for comparison with the configurations in rows.
    cases = {case: json.loads(json.dumps(c)) for case, c in claim.cases(quick).items()}
    seeds = range(2 if quick else claim.seeds)
    return [Run(claim, case, config, seed) for seed in seeds for case, config in cases.items()]
