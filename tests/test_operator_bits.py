"""The same bits from every instruction set and number of threads; exact conversions; exact sums."""

import json
import math
from fractions import Fraction

import mxnet as mx
import numpy as np
import pytest
from instruction_sets import AVAILABLE

import deeprect_gluon as dg


@pytest.fixture(scope="module")
def reports(run_program):
    return {isa: json.loads(run_program("operator_bits", DEEPRECT_ISA=isa)) for isa in AVAILABLE}


@pytest.mark.parametrize("name", ["prelu", "sgd", "crop", "normal"])
def test_bits_do_not_depend_on_threads_or_instruction_set(reports, name):
    assert [report["isa"] for report in reports.values()] == AVAILABLE
    assert len({digest for report in reports.values() for digest in report["digests"][name]}) == 1


def test_half_conversions_are_numpys_in_every_instruction_set(reports):
    # The program itself compares with NumPy: every bit pattern, and every border of rounding.
    assert len({report["conversions"] for report in reports.values()}) == 1


def test_unknown_instruction_set_is_refused_by_name(run_program):
    with pytest.raises(AssertionError, match="ImportError: DEEPRECT_ISA=sse9: .* baseline, avx2"):
        run_program("operator_bits", DEEPRECT_ISA="sse9")


# ---- the gradient of alpha: sums whose terms cancel ----


def adversarial_terms(rng, count, digits):
    """Return terms whose sum is about 10**-digits of the sum of their magnitudes."""
    half = rng.standard_normal(count // 2) * 10.0 ** rng.uniform(0, 3, count // 2)
    rest = rng.standard_normal(count // 2) * 10.0**-digits
    return rng.permutation(np.concatenate([half + rest, -half]))


def exact_sum(dy, x):
    return sum((Fraction(float(g)) * Fraction(float(v)) for g, v in zip(dy, x)), Fraction(0))


def alpha_gradient(dy, x, shape, axis):
    """Return the gradient for one channel whose elements are all of dy and x, as `shape`."""
    x, dy = (mx.nd.array(v.reshape(shape), dtype=v.dtype) for v in (x, dy))
    alpha = mx.nd.ones((1,), dtype=x.dtype)
    alpha.attach_grad()
    with mx.autograd.record():
        y = dg.prelu(x, alpha, axis)
    y.backward(dy)
    return float(alpha.grad.asscalar())


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((40000, 1), 1), ((1, 1, 40000), 1), ((200, 1, 200), 1), ((5000, 1, 8), 1), ((16, 2500), 1)],
    ids=["rows", "run", "maps", "short runs", "shared"],
)
@pytest.mark.parametrize(("dtype", "digits"), [("float32", 5), ("float64", 10)])
def test_alpha_gradient_of_cancelling_terms(dtype, digits, shape, axis):
    rng = np.random.default_rng(digits)
    terms = adversarial_terms(rng, 40000, digits)
    x = -np.exp2(rng.integers(-6, 6, terms.size)) * rng.uniform(1, 2, terms.size)
    x = x.astype(dtype)
    dy = (terms / x).astype(dtype)
    want = exact_sum(dy, x)
    condition = float(np.abs(dy.astype("float64") * x).sum()) / abs(float(want))
    assert condition > 10 ** (digits - 2)  # plain sums in dtype would lose most digits
    error = abs(Fraction(alpha_gradient(dy, x, shape, axis)) - want)
    unit = np.spacing(np.array(abs(float(want)), dtype))
    assert error <= 2 * float(unit)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_alpha_gradient_of_many_equal_terms(dtype):
    """Add up 3,000,000 terms: a running sum in `dtype` stops growing, or drifts."""
    count = 3_000_000
    value = 0.1 if dtype != "float16" else 0.1 * 2**-6
    x, dy = np.full(count, -1, dtype), np.full(count, value, dtype)
    want = -count * float(dy[0])
    got = alpha_gradient(dy, x, (1, 1, count), 1)
    assert abs(got - want) <= np.spacing(np.array(abs(want), dtype))


def test_float64_sum_keeps_what_the_products_lose():
    """Compute (1 + e)(1 - e) - 1 = -e², which is 0 if products are rounded before the sum."""
    e = 2.0**-30
    dy, x = np.array([1 + e, -1.0]), np.array([-(1 - e), -1.0])
    assert math.isclose(alpha_gradient(dy, x, (2, 1), 1), e * e, rel_tol=1e-15)


def test_several_engine_workers_and_python_threads(run_program):
    run_program("operator_reentrancy", MXNET_CPU_WORKER_NTHREADS="4", OMP_NUM_THREADS="2")
