"""Max pooling, the operator and its block, against windows cut by NumPy."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_sets import AVAILABLE

from deeprect_gluon import max_pool
from deeprect_gluon.nn import MaxPool2D


def reference(x, dy, window, stride):
    """Return the maxima, and the gradient that the first of each window's maxima gets."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (window, window), (2, 3))
    windows = windows[:, :, ::stride, ::stride].reshape(*dy.shape, window**2)
    n, c, row, column = np.indices(dy.shape)
    at = windows.argmax(-1)  # the first of equal ones; a NaN counts as the largest
    dx = np.zeros(x.shape, np.float64)
    np.add.at(dx, (n, c, row * stride + at // window, column * stride + at % window), dy)
    return windows.max(-1), dx


def problem(seed, images, channels, height, width, window, stride, levels):
    """Return x, with few different values so that maxima tie, and the gradient of the output."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-levels, levels, (images, channels, height, width)).astype(np.float32)
    shape = ((height - window) // stride + 1, (width - window) // stride + 1)
    return x, rng.standard_normal((images, channels, *shape)).astype(np.float32)


def run(x, dy, window, stride, grad_req="write", times=1):
    x = mx.nd.array(x)
    x.attach_grad(grad_req)
    for _ in range(times):
        with mx.autograd.record():
            y = max_pool(x, window, stride)
        y.backward(mx.nd.array(dy))
    return y.asnumpy(), x.grad.asnumpy()


def assert_agrees(x, dy, window, stride):
    y, dx = run(x, dy, window, stride)
    wanted, gradient = reference(x, dy, window, stride)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_allclose(dx, gradient, rtol=1e-5, atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 3),
    channels=st.integers(1, 20),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    window=st.integers(1, 20),
    stride=st.integers(1, 8),
    levels=st.sampled_from([2, 1000]),
)
def test_agrees_with_numpy(seed, images, channels, height, width, window, stride, levels):
    window = min(window, height, width)
    case = problem(seed, images, channels, height, width, window, stride, levels)
    assert_agrees(*case, window, stride)


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 3), (3, 2), (2, 3)])
def test_maps_of_several_strips(window, stride):
    assert_agrees(*problem(1, 1, 18, 203, 150, window, stride, 1000), window, stride)


def test_a_nan_is_the_maximum():
    x, dy = problem(2, 2, 3, 8, 8, 2, 2, 1000)
    x[0, 1, 2, 5] = np.nan
    y, dx = run(x, dy, 2, 2)
    wanted, gradient = reference(x, dy, 2, 2)
    np.testing.assert_array_equal(y, wanted)
    assert np.isnan(y).sum() == 1
    np.testing.assert_array_equal(dx, gradient)


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (4, 1)])
def test_the_gradient_went_to_the_last_of_several_nans(window, stride):
    x, dy = problem(3, 2, 20, 12, 13, window, stride, 3)
    x[np.random.default_rng(4).random(x.shape) < 0.3] = np.nan
    assert_agrees(x, dy, window, stride)


def test_grad_req_add():
    x, dy = problem(3, 2, 5, 9, 9, 3, 2, 1000)
    once, thrice = run(x, dy, 3, 2)[1], run(x, dy, 3, 2, "add", 3)[1]
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-5)


def test_empty_batch():
    with mx.util.np_shape(True):
        y, dx = run(np.zeros((0, 3, 4, 4), np.float32), np.zeros((0, 3, 2, 2), np.float32), 2, 2)
    assert (y.shape, dx.shape) == ((0, 3, 2, 2), (0, 3, 4, 4))


def checked_results():
    """Return results that agree with NumPy's, for tests/programs/float32_bits.py."""
    arrays = []
    for window, stride in ((2, 2), (3, 2), (7, 1)):
        case = problem(4, 3, 21, 60, 50, window, stride, 3)
        assert_agrees(*case, window, stride)
        arrays += run(*case, window, stride)
    return arrays


@pytest.mark.slow
def test_same_bits_for_any_instruction_set_and_number_of_threads(run_program):
    digests = set()
    for isa in AVAILABLE:
        for threads in ("1", "5"):
            environment = {"DEEPRECT_ISA": isa, "OMP_NUM_THREADS": threads}
            used, digest = run_program("float32_bits", __name__, **environment).split()
            assert used == isa
            digests.add(digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("shape", "window", "stride", "message"),
    [
        ((2, 3, 8), 2, 2, r"data has shape \(2, 3, 8\); it must be \(N, C, H, W\)"),
        ((2, 3, 8, 4), 5, 1, r"\(2, 3, 8, 4\).* maps of 5 pixels, the window, or more"),
        ((2, 3, 8, 8), 0, 2, "window=0 is not supported; it must be a number from 1 on"),
        ((2, 3, 8, 8), 2, -1, "stride=-1 is not supported"),
    ],
)
def test_errors_name_what_is_wrong(shape, window, stride, message):
    with pytest.raises(mx.MXNetError, match=message):
        max_pool(mx.nd.ones(shape), window, stride)


def test_error_of_type():
    with pytest.raises(mx.MXNetError, match="data is float64; it must be float32"):
        max_pool(mx.nd.ones((1, 1, 4, 4), dtype="float64"), 2, 2)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("fast", [None, True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_block_is_gluon_s(hybridize, fast, dtype):
    block, plain = MaxPool2D(3, 2, fast=fast), mx.gluon.nn.MaxPool2D(3, 2)
    results = []
    for net in (block, plain):
        net.cast(dtype)
        if hybridize:
            net.hybridize(static_alloc=True)
        x = mx.nd.array(np.random.default_rng(5).standard_normal((2, 3, 11, 12)), dtype=dtype)
        x.attach_grad()
        with mx.autograd.record():
            y = net(x)
        y.backward()
        results.append((y.asnumpy(), x.grad.asnumpy()))
    assert results[0][0].dtype == dtype
    np.testing.assert_array_equal(*[y for y, _ in results])
    np.testing.assert_array_equal(*[dx for _, dx in results])


@pytest.mark.parametrize(("fast", "operator"), [(True, "deeprect_max_pool"), (False, "Pooling")])
def test_which_operator_is_used(fast, operator):
    assert f'"op": "{operator}"' in MaxPool2D(2, 2, fast=fast)(mx.sym.var("data")).tojson()
