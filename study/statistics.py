"""Compute confidence intervals over seeds, and verdicts from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds and the ends of its confidence interval."""

    mean: float
    low: float
    high: float
    count: int

    def __format__(self, spec: str) -> str:
        """Format as "mean [low, high]", each number by `spec`."""
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit; `factor` is positive."""
        return Interval(factor * self.mean, factor * self.low, factor * self.high, self.count)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of independent values with Student's t interval.

    For differences of two cases with the same seeds, this is the interval of the paired t test.

    Parameters
    ----------
    values : sequence of float
        One for each seed; finite.
    confidence : float

    Returns
    -------
    Interval
        From minus to plus infinity for a single value.

    Raises
    ------
    ValueError
        If there is no value, or a value is not finite.
    """
    array = np.asarray(values, np.float64)
    if not len(array) or not np.isfinite(array).all():
        raise ValueError(f"an interval needs finite values, at least one; got {array.tolist()}")
    mean = float(array.mean())
    if len(array) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = stats.t.ppf((1 + confidence) / 2, len(array) - 1) * stats.sem(array)
    return Interval(mean, float(mean - half), float(mean + half), len(array))


def verdict(interval: Interval, low: float = -math.inf, high: float = math.inf) -> str:
    """Say whether a claim holds for the whole of an interval.

    Parameters
    ----------
    interval : Interval
    low, high : float
        The claim holds for values between them.

    Returns
    -------
    str
        "reproduced" if the claim holds for the whole interval, "not reproduced" if it holds for no
        part of it, and otherwise "not reproduced (undecided)".
    """
    if low < interval.low and interval.high < high:
        return "reproduced"
    if interval.high <= low or interval.low >= high:
        return "not reproduced"
    return "not reproduced (undecided)"
