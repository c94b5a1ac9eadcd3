"""A claim of the paper: the runs that test it, and what is read from their results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Callable, Dict, Iterable, Mapping, NamedTuple, Sequence, Union

from .figures import Figure
from .rows import Row
from .statistics import Interval, mean_interval

Config = Dict[str, Any]
Result = Dict[str, Any]
Metric = Union[str, Callable[[Result], float]]


class Finding(NamedTuple):
    """A line of the report's table; numbers are written in the paper's unit."""

    claim: str
    paper: str
    ours: str
    verdict: str


class Results:
    """The results of a claim's finished runs, by case and seed.

    A metric is a key of a result, or a function of it.
    """

    def __init__(self, rows: Iterable[Row]):
        self._results = {(row["case"], row["seed"]): row["result"] for row in rows}

    def seeds(self, *cases: str) -> list[int]:
        """Return the seeds that all these cases have."""
        found = [{seed for case, seed in self._results if case == wanted} for wanted in cases]
        return sorted(set.intersection(*found))

    def values(self, case: str, metric: Metric, seeds: Sequence[int] | None = None) -> list:
        """Return the metric of each seed, in their order."""
        get = metric if callable(metric) else itemgetter(metric)
        seeds = self.seeds(case) if seeds is None else seeds
        return [get(self._results[case, seed]) for seed in seeds]

    def mean(self, case: str, metric: Metric) -> Interval:
        """Return the mean over the seeds with its 95 % interval."""
        return mean_interval(self.values(case, metric))

    def difference(self, case: str, base: str, metric: Metric) -> Interval:
        """Return the mean of `case` less `base`, paired by the seed, with its 95 % interval."""
        seeds = self.seeds(case, base)
        pairs = zip(self.values(case, metric, seeds), self.values(base, metric, seeds))
        return mean_interval([a - b for a, b in pairs])

    def means(self, case: str, metric: Metric) -> list[Interval]:
        """Return the same as `mean` for a metric that is a list, point by point."""
        return [mean_interval(values) for values in zip(*self.values(case, metric))]

    def differences(self, case: str, base: str, metric: Metric) -> list[Interval]:
        """Return the same as `difference` for a metric that is a list, point by point."""
        seeds = self.seeds(case, base)
        pairs = zip(self.values(case, metric, seeds), self.values(base, metric, seeds))
        points = zip(*([a - b for a, b in zip(*pair)] for pair in pairs))
        return [mean_interval(values) for values in points]


def _none(*_) -> list:
    return []


@dataclass(frozen=True)
class Claim:
    """One module of study/claims.

    Parameters
    ----------
    name : str
        Of the script and of the file of its rows.
    doc : str
        The script's own; its first line is the heading in the report, the rest the explanation.
    cases : callable
        `cases(quick)` gives the configurations to measure, JSON, by their names.
    measure : callable
        `measure(config, seed)` does one run and gives its result, JSON. It runs in a process of its
        own, with one thread unless the claim is measured alone.
    seeds : int
        Runs of each case; the quick form does two.
    findings : callable
        `findings(results)` gives the lines of the report's table.
    table : callable
        `table(results)` gives a table of details: rows of cells, the first is the head.
    figures : callable
        `figures(results)` gives what to draw.
    reads : str
        The claim whose rows these are read from, if it has no runs of its own.
    first : bool
        Done before the other claims, save for the first seed of those.
    alone : bool
        A timing: done after all others, one run at a time, with all cores.
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
        return self.doc.strip().partition("\n")[0].rstrip(".")

    @property
    def text(self) -> str:
        return self.doc.strip().partition("\n")[2].strip()


class Run(NamedTuple):
    """One run of a claim."""

    claim: Claim
    case: str
    config: Config
    seed: int

    def made(self, row: Row) -> bool:
        """Tell whether a row is of this run, as it is configured now."""
        return (row["case"], row["seed"], row["config"]) == (self.case, self.seed, self.config)


def runs(claim: Claim, quick: bool) -> list[Run]:
    """Return all runs of a claim, seed after seed."""
    # As JSON gives them back, so that they can be compared with those in rows.
    cases = {case: json.loads(json.dumps(c)) for case, c in claim.cases(quick).items()}
    seeds = range(2 if quick else claim.seeds)
    return [Run(claim, case, config, seed) for seed in seeds for case, config in cases.items()]
