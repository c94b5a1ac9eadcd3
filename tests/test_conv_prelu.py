"""The fused operator against float64: shapes, slopes, sums, threads, instruction sets, errors."""

from concurrent.futures import ThreadPoolExecutor

import conv_prelu_reference as reference
import mxnet as mx
import numpy as np
import pytest
from conv_prelu_reference import assert_close, expected, problem
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_sets import AVAILABLE

from deeprect_gluon import conv_prelu


def run(x, weight, bias, alpha, dy, pad, grad_req="write"):
    """Return y and the gradients of x, weight, bias and alpha."""
    arrays = [mx.nd.array(a) for a in (x, weight, bias) + (() if alpha is None else (alpha,))]
    for array in arrays:
        array.attach_grad(grad_req)
    with mx.autograd.record():
        y = conv_prelu(*arrays, pad=pad)
    y.backward(mx.nd.array(dy))
    return [y.asnumpy()] + [a.grad.asnumpy() for a in arrays]


def assert_agrees(case, pad):
    """Compare with float64; sums over the maps relative to the sum of their terms' magnitudes."""
    x, weight, bias, alpha, dy = case
    actual, wanted = run(*case, pad), expected(*case, pad)
    tolerance = 5e-5 if weight.shape[2] == 2 else 2e-5
    assert_close(actual[:3], wanted[:3], tolerance)
    z, _ = reference.forward(x, weight, bias, alpha, pad)
    magnitudes = reference.backward(np.abs(dy), x, weight, np.abs(alpha), pad, z)[2:]
    for a, w, m in zip(actual[3:], wanted[3:], magnitudes):
        np.testing.assert_allclose(a, w, rtol=0, atol=tolerance * max(1, np.abs(m).max()))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 5),
    channels=st.integers(1, 70),
    filters=st.integers(1, 70),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    kernel=st.sampled_from([2, 3]),
    pad=st.integers(0, 2),
    shared=st.booleans(),
    slopes=st.sampled_from(["positive", "any", "zero", "tiny"]),
)
def test_agrees_with_float64(
    seed, images, channels, filters, height, width, kernel, pad, shared, slopes
):
    pad = min(pad, kernel - 1)
    size = (max(height, kernel - 2 * pad), max(width, kernel - 2 * pad))
    rng = np.random.default_rng(seed)
    assert_agrees(problem(rng, images, channels, filters, size, kernel, pad, shared, slopes), pad)


@pytest.mark.parametrize("kernel", [2, 3])
def test_divisions_of_large_inputs(kernel):
    """Compute several batches of tiles, chunks that end inside an image, blocks of channels."""
    rng = np.random.default_rng(5)
    assert_agrees(problem(rng, 3, 200, 100, (75, 66), kernel, 1, slopes="any"), 1)


def test_numeric_gradient():
    rng = np.random.default_rng(2)
    x, weight, bias, alpha, dy = problem(rng, 1, 2, 3, (6, 7), 3, 1)
    arguments = [a.astype(np.float64) for a in (x, weight, bias, alpha)]
    gradients = run(x, weight, bias, alpha, dy, 1)[1:]
    for which, gradient in enumerate(gradients):
        direction = rng.standard_normal(gradient.shape)
        values = []
        for step in (1e-6, -1e-6):
            moved = list(arguments)
            moved[which] = moved[which] + step * direction
            values.append((reference.forward(*moved, 1)[1] * dy).sum())
        slope = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-4)


def test_relu():
    x, weight, bias, _, dy = problem(np.random.default_rng(3), 2, 20, 40, (9, 8), 3, 1)
    zero = np.zeros(40, np.float32)
    wanted = expected(x, weight, bias, zero, dy, 1)
    assert_close(run(x, weight, bias, None, dy, 1), wanted[:-1])


def test_empty_batch():
    with mx.util.np_shape(True):
        x, weight, bias, alpha, _ = problem(np.random.default_rng(3), 1, 3, 4, (5, 5), 3, 1)
        arrays = [mx.nd.array(a) for a in (x[:0], weight, bias, alpha)]
        for array in arrays[1:]:
            array.attach_grad()
        with mx.autograd.record():
            y = conv_prelu(*arrays, pad=1)
        y.backward()
        assert y.shape == (0, 4, 5, 5)
        assert all((a.grad.asnumpy() == 0).all() for a in arrays[1:])


def checked_results():
    """Return results that agree with float64, for tests/programs/float32_bits.py."""
    case = problem(np.random.default_rng(7), 6, 70, 75, (23, 20), 3, 1, slopes="any")
    assert_agrees(case, 1)
    return run(*case, 1)


def test_same_bits_for_any_number_of_threads(run_program):
    digests = (
        run_program("float32_bits", __name__, OMP_NUM_THREADS=str(threads)) for threads in (1, 2, 5)
    )
    assert len(set(digests)) == 1


@pytest.mark.parametrize("isa", AVAILABLE[:-1])
def test_other_instruction_sets_agree_with_float64(isa, run_program):
    # The program fails if its results do not agree.
    assert run_program("float32_bits", __name__, DEEPRECT_ISA=isa).split()[0] == isa


def test_grad_req_add():
    case = problem(np.random.default_rng(8), 2, 5, 6, (7, 7), 3, 1)
    arrays = [mx.nd.array(a) for a in case[:4]]
    for array in arrays:
        array.attach_grad("add")
    for _ in range(3):
        with mx.autograd.record():
            y = conv_prelu(*arrays, pad=1)
        y.backward(mx.nd.array(case[4]))
    assert_close([a.grad.asnumpy() for a in arrays], [3 * g for g in expected(*case, 1)[1:]])


def test_concurrent_calls():
    rng = np.random.default_rng(11)
    cases = [problem(rng, 2, 8 + i, 40, (10 + i, 9), 2 + i % 2, 1) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for case, results in zip(cases * 4, pool.map(lambda c: run(*c, 1), cases * 4)):
            assert_close(results, expected(*case, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": (2, 3, 8)}, r"data has shape \(2, 3, 8\); it must be \(N, C, H, W\)"),
        ({"weight": (4, 5, 3, 3)}, r"weight has shape \(4, 5, 3, 3\); for data of shape"),
        ({"weight": (4, 3, 5, 5)}, "k of 2 or 3"),
        ({"weight": (4, 3, 3, 2)}, "k of 2 or 3"),
        ({"bias": (3,)}, r"bias has shape \(3,\); it must be \(4,\)"),
        ({"alpha": (2,)}, r"alpha has shape \(2,\).*or \(1,\) to share one slope"),
        ({"pad": 3}, "pad=3 is not supported"),
        ({"weight": (4, 3, 2, 2), "pad": 2}, "pad=2 must be less than the kernel, 2"),
        ({"x": (1, 3, 2, 8), "pad": 0}, "smaller than the kernel of 3"),
    ],
)
def test_errors_name_what_is_wrong(changes, message):
    shapes = {"x": (2, 3, 8, 8), "weight": (4, 3, 3, 3), "bias": (4,), "alpha": (4,), "pad": 1}
    shapes.update(changes)
    pad = shapes.pop("pad")
    with pytest.raises(mx.MXNetError, match=message):
        conv_prelu(*[mx.nd.ones(shape) for shape in shapes.values()], pad=pad)


def test_error_of_type():
    arrays = [mx.nd.ones(shape) for shape in [(1, 3, 5, 5), (4, 3, 3, 3), (4,), (4,)]]
    with pytest.raises(mx.MXNetError, match="data is float64; it must be float32"):
        conv_prelu(arrays[0].astype("float64"), *arrays[1:])
