"""The fully-connected operator and its block against float64 and MXNet's own."""

from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_sets import AVAILABLE

from deeprect_gluon import dense
from deeprect_gluon.nn import Dense


def problem(seed, rows, inputs, outputs):
    """Return data, weight, bias and the gradient of the output, of float32."""
    rng = np.random.default_rng(seed)
    shapes = (rows, inputs), (outputs, inputs), (outputs,), (rows, outputs)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def expected(x, weight, bias, dy):
    """Return y and the gradients of data, weight and bias in float64, and their terms' sizes."""
    x, weight, bias, dy = (a.astype(np.float64) for a in (x, weight, bias, dy))
    values = [x @ weight.T + bias, dy @ weight, dy.T @ x, dy.sum(0)]
    x, weight, bias, dy = map(np.abs, (x, weight, bias, dy))
    return values, [x @ weight.T + bias, dy @ weight, dy.T @ x, dy.sum(0)]


def run(x, weight, bias, dy, grad_req="write", times=1):
    arrays = [mx.nd.array(a) for a in (x, weight, bias)]
    for array in arrays:
        array.attach_grad(grad_req)
    for _ in range(times):
        with mx.autograd.record():
            y = dense(*arrays)
        y.backward(mx.nd.array(dy))
    return [y.asnumpy()] + [a.grad.asnumpy() for a in arrays]


def assert_agrees(case, results):
    for actual, wanted, size in zip(results, *expected(*case)):
        assert actual.shape == wanted.shape
        assert (np.abs(actual - wanted) <= 1e-6 * size + 1e-30).all()


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.one_of(st.integers(1, 16), st.integers(100, 300)),
    inputs=st.integers(1, 300),
    outputs=st.integers(1, 150),
)
def test_agrees_with_float64(seed, rows, inputs, outputs):
    case = problem(seed, rows, inputs, outputs)
    assert_agrees(case, run(*case))


@pytest.mark.parametrize("rows", [1, 2, 6, 7, 12, 13, 129])
@pytest.mark.parametrize("inputs", [2080, 2083])
def test_large_weights(rows, inputs):
    """Compute in several steps of depth and groups of panels, with and without streaming stores."""
    case = problem(rows, rows, inputs, 2100)
    assert_agrees(case, run(*case))


def test_all_axes_but_the_first_are_inputs():
    x, weight, bias, dy = case = problem(1, 3, 24, 5)
    y, dx, *_ = run(x.reshape(3, 2, 3, 4), weight, bias, dy)
    (wanted, gradient, *_), _ = expected(*case)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, gradient.reshape(3, 2, 3, 4), rtol=1e-5, atol=1e-5)


def test_empty_batch():
    with mx.util.np_shape(True):
        y, dx, dweight, dbias = run(*problem(2, 0, 7, 4))
    assert y.shape == (0, 4)
    assert dx.shape == (0, 7)
    assert not dweight.any()
    assert not dbias.any()


def test_grad_req_add():
    x, weight, bias, dy = problem(3, 4, 20, 30)
    once, thrice = run(x, weight, bias, dy), run(x, weight, bias, dy, "add", 3)
    for a, b in zip(once[1:], thrice[1:]):
        np.testing.assert_allclose(b, 3 * a, rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_stays_in_its_row():
    x, weight, bias, dy = problem(4, 20, 30, 40)
    x[7, 3] = np.nan
    y = run(x, weight, bias, dy)[0]
    assert np.isnan(y[7]).all()
    assert np.isfinite(np.delete(y, 7, 0)).all()


def test_concurrent_calls():
    cases = [problem(i, 1 + 5 * i, 50 + i, 40 + i) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for case, results in zip(cases * 4, pool.map(lambda c: run(*c), cases * 4)):
            assert_agrees(case, results)


def checked_results():
    """Return results that agree with float64, for tests/programs/float32_bits.py."""
    arrays = []
    for rows in (1, 5, 150):
        case = problem(7, rows, 700, 333)
        results = run(*case)
        assert_agrees(case, results)
        arrays += results
    return arrays


def test_same_bits_for_any_number_of_threads(run_program):
    digests = (
        run_program("float32_bits", __name__, OMP_NUM_THREADS=str(threads)) for threads in (1, 2, 5)
    )
    assert len(set(digests)) == 1


@pytest.mark.parametrize("isa", AVAILABLE[:-1])
def test_other_instruction_sets_agree_with_float64(isa, run_program):
    # The program fails if its results do not agree.
    assert run_program("float32_bits", __name__, DEEPRECT_ISA=isa).split()[0] == isa


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": (6,)}, r"data has shape \(6,\); it must be \(N, ...\) with inputs"),
        ({"weight": (4, 5)}, r"weight has shape \(4, 5\); .* it must be \(outputs, 6\)"),
        ({"weight": (4, 6, 1)}, r"weight has shape \(4, 6, 1\)"),
        ({"bias": (3,)}, r"bias has shape \(3,\); it must be \(4,\)"),
    ],
)
def test_errors_name_what_is_wrong(changes, message):
    shapes = {"x": (2, 6), "weight": (4, 6), "bias": (4,), **changes}
    with pytest.raises(mx.MXNetError, match=message):
        dense(*[mx.nd.ones(shape) for shape in shapes.values()])


def test_error_of_type():
    arrays = [mx.nd.ones(shape, dtype="float64") for shape in [(2, 6), (4, 6), (4,)]]
    with pytest.raises(mx.MXNetError, match="data is float64; it must be float32"):
        dense(*arrays)
    with pytest.raises(TypeError, match="weight is a Symbol"):
        dense(arrays[0], mx.sym.var("w"), arrays[2])


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("activation", [None, "tanh"])
@pytest.mark.parametrize("in_units", [0, 24])
def test_block_is_gluon_s(hybridize, activation, in_units):
    block = Dense(5, fast=True, activation=activation, in_units=in_units, prefix="fc_")
    plain = mx.gluon.nn.Dense(5, activation=activation, in_units=24, prefix="fc_")
    block.initialize(mx.init.Normal(1))
    if hybridize:
        block.hybridize(static_alloc=True)
    x = mx.nd.random.normal(shape=(3, 2, 12))
    block(x)
    assert list(block.collect_params()) == list(plain.collect_params())
    plain.initialize()
    for name, parameter in block.collect_params().items():
        plain.collect_params()[name].set_data(parameter.data())
    results = []
    for net in (block, plain):
        with mx.autograd.record():
            y = net(x)
        y.backward()
        results.append([y] + [p.grad() for p in net.collect_params().values()])
    for a, b in zip(*results):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        ({"in_units": 4096, "units": 1024}, True),
        ({"in_units": 4096, "units": 1000}, False),
        ({"in_units": 8, "units": 4, "fast": True}, True),
        ({"in_units": 4096, "units": 1024, "fast": False}, False),
        ({"in_units": 4096, "units": 1024, "use_bias": False}, False),
        ({"in_units": 4096, "units": 1024, "flatten": False}, False),
        ({"in_units": 8, "units": 4, "fast": True, "dtype": "float64"}, False),
    ],
)
def test_when_the_operator_is_used(arguments, ours):
    block = Dense(**arguments)
    graph = block(mx.sym.var("data")).tojson()
    assert ("deeprect_dense" in graph, "FullyConnected" in graph) == (ours, not ours)
