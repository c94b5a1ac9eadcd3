"""Intervals over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float
    count: int

    def __format__(self, spec: str) -> str:
        """Write it as "mean [low, high]", every number by `spec`."""
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def scaled(self, factor: float) -> Interval:
        """Return it in another unit; `factor` is positive."""
        return Interval(factor * self.mean, factor * self.low, factor * self.high, self.count)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of independent values with Student's t interval.

    Applied to the differences of two cases that share their seeds, it is the interval of the
    paired t test.

    Parameters
    ----------
    values : sequence of float
        One for each seed; finite.
    confidence : float

    Returns
    -------
    Interval
        Unbounded for a single value.

    Raises
    ------
    ValueError
        If there is no value, or one that is not finite.
    """
    values = np.asarray(values, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"an interval needs finite values, at least one; got {values.tolist()}")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return Interval(mean, float(mean - half), float(mean + half), len(values))


def verdict(interval: Interval, low: float = -math.inf, high: float = math.inf) -> str:
    """Say whether a whole interval lies where the paper's claim puts it.

    Parameters
    ----------
    interval : Interval
    low, high : float
        The claim holds for values between them.

    Returns
    -------
    str
        "reproduced" if it does; "not reproduced" if it lies wholly elsewhere; "undecided", which
        is no reproduction either, if it does both.
    """
    if low < interval.low and interval.high < high:
        return "reproduced"
    if interval.high <= low or interval.low >= high:
        return "not reproduced"
    return "not reproduced (undecided)"
