"""Values, gradients and errors of `deeprect_gluon.prelu`, against float64 NumPy."""

import mxnet as mx
import numpy as np
import pytest
from prelu_reference import prelu as prelu_reference
from prelu_reference import prelu_gradients

import deeprect_gluon as dg

# Vectors are 8 or 16 elements wide, boxes 16384: sizes on both sides of each, and primes.
SHAPES = [
    (1,),
    (37,),
    (5, 7),
    (33, 300),
    (3, 4, 11),
    (2, 3, 40000),
    (4, 5, 7, 7),
    (2, 3, 131, 127),
    (3, 14, 14, 6),
    (2, 3, 2, 5, 3),
]
CASES = [(shape, axis) for shape in SHAPES for axis in range(-len(shape), len(shape))]
# The types of data and of alpha, and the spacing of numbers near 1 in the data's.
TYPES = [
    pytest.param("float32", "float32", id="float32"),
    pytest.param("float64", "float64", id="float64"),
    pytest.param("float16", "float16", id="float16"),
    pytest.param("float16", "float32", id="float16-float32"),
]


def random_case(shape, axis, shared, data_type, alpha_type, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, *shape)).astype(data_type)
    alpha = rng.uniform(-0.5, 1.5, 1 if shared else shape[axis]).astype(alpha_type)
    return x, alpha, dy


def run(x, alpha, dy, axis):
    """Return output, data gradient and alpha gradient of the imperative operator."""
    x, alpha, dy = (mx.nd.array(v, dtype=v.dtype) for v in (x, alpha, dy))
    x.attach_grad()
    alpha.attach_grad()
    with mx.autograd.record():
        y = dg.prelu(x, alpha, axis)
    y.backward(dy)
    return y.asnumpy(), x.grad.asnumpy(), alpha.grad.asnumpy()


@pytest.mark.parametrize("shared", [False, True], ids=["channels", "shared"])
@pytest.mark.parametrize(("data_type", "alpha_type"), TYPES)
@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_agrees_with_float64(shape, axis, data_type, alpha_type, shared):
    x, alpha, dy = random_case(shape, axis, shared, data_type, alpha_type)
    y, dx, dalpha = run(x, alpha, dy, axis)
    assert (y.dtype, dx.dtype, dalpha.dtype) == (x.dtype, x.dtype, alpha.dtype)
    eps, tiny = np.finfo(data_type).eps, np.finfo(data_type).tiny
    np.testing.assert_allclose(y, prelu_reference(x, alpha, axis), rtol=eps, atol=tiny)
    want_dx, want_dalpha = prelu_gradients(dy, x, alpha, axis)
    np.testing.assert_allclose(dx, want_dx, rtol=eps, atol=tiny)
    # The reference's own sum is off by some 1e-15 of the terms' magnitudes.
    magnitude = np.abs(prelu_gradients(np.abs(dy), x, alpha, axis)[1])
    info = np.finfo(alpha_type)
    bound = info.eps * np.abs(want_dalpha) + 4e-15 * magnitude + info.tiny
    assert (np.abs(dalpha - want_dalpha) <= bound).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_numeric_gradient(axis):
    x, alpha, dy = random_case((3, 5, 4), axis, False, "float64", "float64", seed=1)
    x[np.abs(x) < 1e-3] = 0.5  # keep the difference quotient off the kink
    _, dx, dalpha = run(x, alpha, dy, axis)

    def objective(x, alpha):
        y = dg.prelu(mx.nd.array(x, dtype="float64"), mx.nd.array(alpha, dtype="float64"), axis)
        return float((y.asnumpy() * dy).sum())

    def difference(f, at):
        gradient = np.empty_like(at)
        for i in np.ndindex(*at.shape):
            step = np.zeros_like(at)
            step[i] = 1e-5
            gradient[i] = (f(at + step) - f(at - step)) / 2e-5
        return gradient

    np.testing.assert_allclose(dx, difference(lambda v: objective(v, alpha), x), rtol=1e-7)
    np.testing.assert_allclose(dalpha, difference(lambda v: objective(x, v), alpha), rtol=1e-7)


def test_zero_takes_the_second_branch():
    x = np.array([[0.0, -0.0, 0.0, -0.0]], "float32")
    alpha = np.array([2.0, 2.0, -2.0, -2.0], "float32")
    dy = np.full_like(x, 3)
    y, dx, dalpha = run(x, alpha, dy, 1)
    np.testing.assert_array_equal(y, np.zeros_like(x))
    np.testing.assert_array_equal(np.signbit(y), [[False, True, True, False]])  # of alpha * x
    np.testing.assert_array_equal(dx, dy * alpha)
    np.testing.assert_array_equal(dalpha, np.zeros_like(alpha))


@pytest.mark.parametrize("rows", [1, 40], ids=["row tail", "vector"])
@pytest.mark.parametrize(("data_type", "alpha_type"), TYPES)
def test_nan_and_infinity_flow_as_ieee_says(data_type, alpha_type, rows):
    inf, nan = np.inf, np.nan
    specials = [inf, -inf, nan, 1, -1, 0.0, -0.0]
    grid = np.array(np.meshgrid(specials, specials, specials)).reshape(3, -1)
    x, alpha, dy = grid[0], grid[1].astype(alpha_type), grid[2]
    x, dy = (np.tile(v.astype(data_type), (rows, 1)) for v in (x, dy))
    y, dx, dalpha = run(x, alpha, dy, 1)
    with np.errstate(invalid="ignore"):
        want_dx, want_dalpha = prelu_gradients(dy, x, alpha)
        np.testing.assert_array_equal(y, prelu_reference(x, alpha))
    np.testing.assert_array_equal(dx, want_dx)
    np.testing.assert_array_equal(dalpha, want_dalpha)
    # The same columns as long runs of one channel each.
    y_runs, dx_runs, dalpha_runs = run(*(np.ascontiguousarray(v) for v in (x.T, alpha, dy.T)), 0)
    np.testing.assert_array_equal(y_runs, y.T)
    np.testing.assert_array_equal(dx_runs, dx.T)
    np.testing.assert_array_equal(dalpha_runs, dalpha)


@pytest.mark.parametrize(
    ("data", "alpha", "axis", "names"),
    [
        ((2, 3, 4), (4,), 1, ["(2, 3, 4)", "(4,)", "axis 1", "3 channels"]),
        ((2, 3, 4), (2, 3), 1, ["(2, 3, 4)", "(2, 3)"]),
        ((2, 3), (3,), 2, ["axis=2", "(2, 3)"]),
        ((2, 3), (3,), -3, ["axis=-3", "(2, 3)"]),
        ((2, 3), (3,), "channels", ["axis=channels"]),
        ((2, 3), (3,), "1.5", ["axis=1.5"]),
        ((2, 3), (3,), 10**12, ["axis=1000000000000"]),
    ],
)
def test_refuses_wrong_shapes_and_axes(data, alpha, axis, names):
    with pytest.raises(mx.MXNetError) as error:
        dg.prelu(mx.nd.ones(data), mx.nd.ones(alpha), axis).wait_to_read()
    for name in names:
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("data", "alpha"),
    [
        ("int32", "int32"),
        ("uint8", "float32"),
        ("float32", "float64"),
        ("float32", "float16"),
        ("float64", "float32"),
    ],
)
def test_refuses_wrong_types(data, alpha):
    with pytest.raises(mx.MXNetError, match=data) as error:
        dg.prelu(mx.nd.ones((2, 3), dtype=data), mx.nd.ones((3,), dtype=alpha)).wait_to_read()
    if data.startswith("float"):
        assert alpha in str(error.value)


@pytest.mark.parametrize(
    ("data", "alpha"),
    [
        (np.ones((2, 3)), mx.nd.ones(3)),
        (mx.nd.ones((2, 3)), 0.25),
        (mx.nd.ones((2, 3)), mx.sym.Variable("alpha")),
    ],
)
def test_refuses_what_is_no_tensor(data, alpha):
    with pytest.raises(TypeError, match=f"data is a {type(data).__name__}, .* must all be NDA"):
        dg.prelu(data, alpha)


def test_refuses_data_without_axes():
    with mx.util.np_shape(True), pytest.raises(mx.MXNetError, match="at least one axis"):
        dg.prelu(mx.nd.ones(()), mx.nd.ones((1,)))
    # Without NumPy shapes a sum has one axis.
    assert dg.prelu(mx.nd.array([[-4.0]]).sum(), mx.nd.array([0.5]), axis=0).asscalar() == -2


@pytest.mark.parametrize("np_shape", [False, True])
@pytest.mark.parametrize("rank", range(1, 9))
def test_a_variable_of_unknown_shape_becomes_one_slope_for_each_channel(rank, np_shape):
    """MXNet writes past its buffer for the shapes where alpha has no rank: `make sanitize`."""
    shape = tuple(range(2, 2 + rank))
    with mx.util.np_shape(np_shape):
        y = dg.prelu(mx.sym.Variable("data"), mx.sym.Variable("alpha"), axis=-1)
        assert y.infer_shape(data=shape) == ([shape, shape[-1:]], [shape], [])


def test_refuses_unknown_arguments():
    with pytest.raises(mx.MXNetError, match="slope=1"):
        mx.nd.deeprect_prelu(mx.nd.ones((2, 3)), mx.nd.ones((3,)), slope=1)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty_data(shape):
    with mx.util.np_shape(True):
        x, alpha = mx.nd.ones(shape), mx.nd.full((shape[1],), 0.5)
        x.attach_grad()
        alpha.attach_grad()
        with mx.autograd.record():
            y = dg.prelu(x, alpha)
        y.backward()
        assert y.shape == x.grad.shape == shape
        np.testing.assert_array_equal(alpha.grad.asnumpy(), np.zeros(shape[1]))


def test_views_aliases_and_out():
    base = mx.nd.array(np.random.default_rng(2).standard_normal((6, 5, 4)))
    alpha = mx.nd.array(np.linspace(0.1, 0.9, 5))
    want = prelu_reference(base.asnumpy(), alpha.asnumpy())
    np.testing.assert_allclose(dg.prelu(base[2:4], alpha).asnumpy(), want[2:4], rtol=1e-6)
    reshaped = dg.prelu(base.reshape((2, 3, 5, 4)), alpha, axis=2).asnumpy()
    np.testing.assert_allclose(reshaped.reshape(want.shape), want, rtol=1e-6)
    into = mx.nd.zeros((8, 5, 4))
    mx.nd.deeprect_prelu(base, alpha, out=into[1:7])
    np.testing.assert_allclose(into.asnumpy()[1:7], want, rtol=1e-6)
    assert (into.asnumpy()[[0, 7]] == 0).all()
    mx.nd.deeprect_prelu(base, alpha, out=base)
    np.testing.assert_allclose(base.asnumpy(), want, rtol=1e-6)
