"""Intervals, against SciPy's paired t test, and the verdicts that rest on them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from study.claim import Results
from study.statistics import Interval, mean_interval, verdict


def rows(case, values):
    return [{"case": case, "seed": s, "result": {"error": v}} for s, v in enumerate(values)]


@pytest.mark.parametrize("count", [2, 5, 30])
def test_difference_is_the_interval_of_the_paired_t_test(count):
    rng = np.random.default_rng(count)
    base = rng.standard_normal(count)
    case = base + 0.3 + 0.1 * rng.standard_normal(count)
    results = Results([*rows("relu", base), *rows("prelu", case[::-1])][::-1])
    found = results.difference("prelu", "relu", "error")
    expected = stats.ttest_rel(case[::-1], base).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((case[::-1] - base).mean())
    assert found.count == count


def test_only_seeds_that_both_have_are_paired():
    results = Results([*rows("relu", [1, 2, 3]), *rows("prelu", [2, 4])])
    assert results.difference("prelu", "relu", "error").mean == pytest.approx(1.5)
    assert results.difference("prelu", "relu", "error").count == 2


def test_lists_are_compared_point_by_point():
    curves = {"a": [[1, 5], [3, 5]], "b": [[0, 1], [1, 2]]}
    results = Results([row for case, values in curves.items() for row in rows(case, values)])
    assert [i.mean for i in results.means("a", "error")] == [2, 5]
    assert [i.mean for i in results.differences("a", "b", "error")] == [1.5, 3.5]


def test_one_seed_says_nothing_of_others():
    assert mean_interval([3.0]) == Interval(3.0, -math.inf, math.inf, 1)
    assert verdict(mean_interval([3.0]), low=0) == "not reproduced (undecided)"


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_interval_of_nothing(values):
    with pytest.raises(ValueError, match="finite values, at least one"):
        mean_interval(values)


def test_an_interval_is_written_as_mean_and_ends():
    assert f"{Interval(0.0123, 0.0044, 0.0202, 5).scaled(100):+.2f}" == "+1.23 [+0.44, +2.02]"


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=3), st.floats(-100, 100))
def test_a_verdict_needs_the_whole_interval(ends, bound):
    low, mean, high = sorted(ends)
    interval = Interval(mean, low, high, 5)
    below, above = verdict(interval, high=bound), verdict(interval, low=bound)
    assert (below == "reproduced") == (high < bound)
    assert (above == "reproduced") == (low > bound)
    assert (below == "not reproduced") == (low >= bound)
    assert below.endswith("(undecided)") == (low < bound <= high)
