"""What our functions and operators are given is checked before it is used."""

import mxnet as mx
import numpy as np
import pytest

import deeprect_gluon as dg

FUNCTIONS = {
    "prelu": (dg.prelu, {"data": (2, 3), "alpha": (3,)}),
    "conv_prelu": (
        dg.conv_prelu,
        {"data": (2, 3, 6, 6), "weight": (8, 3, 3, 3), "bias": (8,), "alpha": (8,)},
    ),
    "dense": (dg.dense, {"data": (2, 6), "weight": (4, 6), "bias": (4,)}),
    "max_pool": (lambda data: dg.max_pool(data, 2, 2), {"data": (2, 3, 6, 6)}),
}
ARGUMENTS = [(name, which) for name, (_, shapes) in FUNCTIONS.items() for which in shapes]


def array(shape):
    return mx.nd.array(np.ones(shape))


def without_elements(shape):
    return [(*shape[:i], 0, *shape[i + 1 :]) for i in range(len(shape))]


@pytest.mark.parametrize("np_shape", [False, True])
@pytest.mark.parametrize(("name", "which"), ARGUMENTS)
def test_arrays_without_axes_read_foreign_memory(name, which, np_shape):
    function, shapes = FUNCTIONS[name]
    arrays = [array(() if key == which else shape) for key, shape in shapes.items()]
    with mx.util.np_shape(np_shape), pytest.raises(mx.MXNetError, match=rf"{which} has shape \(\)"):
        function(*arrays)


@pytest.mark.parametrize(("name", "which"), ARGUMENTS)
def test_arrays_without_elements_were_taken_for_deferred(name, which):
    """In MXNet's default mode they ended the process, or made it wait for ever."""
    function, shapes = FUNCTIONS[name]
    for shape in without_elements(shapes[which]):
        arrays = [array(s) for s in {**shapes, which: shape}.values()]
        with pytest.raises(mx.MXNetError, match=rf"{which} has shape .*0.*set_np_shape\(True\)"):
            function(*arrays)


@pytest.mark.parametrize("np_shape", [False, True])
@pytest.mark.parametrize(("name", "which"), [a for a in ARGUMENTS if a[1] != "data"])
def test_the_operators_themselves_compare_sizes(name, which, np_shape):
    shapes = FUNCTIONS[name][1]
    operator = getattr(mx.nd, f"deeprect_{name}")
    for shape in without_elements(shapes[which]):
        with mx.util.np_shape(np_shape):
            arrays = [array(s) for s in {**shapes, which: shape}.values()]
            with pytest.raises(mx.MXNetError, match=rf"deeprect_{name}: {which} has shape .*[0?]"):
                operator(*arrays).wait_to_read()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_operators_themselves_need_the_shape_of_data(name):
    """In MXNet's default mode no elements are an unknown extent, for which 16 GB were allocated."""
    shapes = FUNCTIONS[name][1]
    attributes = {"window": 2, "stride": 2} if name == "max_pool" else {}
    operator = getattr(mx.nd, f"deeprect_{name}")
    arrays = [array(s) for s in {**shapes, "data": (0, *shapes["data"][1:])}.values()]
    with pytest.raises(mx.MXNetError, match=r"data has shape \(\?, .* must be known"):
        operator(*arrays, **attributes)


@pytest.mark.parametrize("extent", [1, 2, 3])
def test_a_convolution_of_no_pixels_or_channels(extent):
    with mx.util.np_shape(True):
        shape = [2, 3, 6, 6]
        shape[extent] = 0
        arrays = map(array, (shape, (8, shape[1], 3, 3), (8,)))
        with pytest.raises(mx.MXNetError, match="must be .* with channels and pixels"):
            dg.conv_prelu(*arrays, pad=1)


def test_arrays_of_mx_np_are_named():
    x = mx.np.ones((2, 3))
    for call in (
        lambda: dg.prelu(x, mx.np.ones(3)),
        lambda: dg.prelu(x.as_nd_ndarray(), mx.np.ones(3)),
        lambda: dg.prelu(mx.sym.var("x").as_np_ndarray(), mx.sym.var("a")),
    ):
        with pytest.raises(TypeError, match=r"(data|alpha) is an array of mx.np; .*as_nd_ndarray"):
            call()


def test_unknown_axes_corrupted_the_heap_and_forged_graphs_ended_the_process(run_program):
    run_program("operator_graphs")


@pytest.mark.parametrize("slopes", [(8,), (1, 8)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_pass_took_parameters_that_our_operators_refuse(dtype, slopes):
    """Parameters behind a Cast, as AMP leaves them, and slopes of shape (1, C)."""

    def var(name, shape=None):
        variable = mx.sym.var(name, shape=shape)
        return variable if dtype == "float32" else mx.sym.cast(variable, dtype)

    weight, bias = var("weight", (8, 3, 3, 3)), var("bias", (8,))
    z = mx.sym.Convolution(var("data"), weight, bias, kernel=(3, 3), num_filter=8)
    y = mx.sym.LeakyReLU(z, gamma=var("slopes", slopes), act_type="prelu")
    weight, bias = var("fc_weight", (4, 200)), var("fc_bias", (4,))
    y = mx.sym.FullyConnected(y, weight, bias, num_hidden=4)
    net = mx.gluon.SymbolBlock(y, [mx.sym.var("data")])
    net.initialize(mx.init.Normal(1))
    x = mx.nd.random.normal(shape=(2, 3, 7, 7))
    before = net(x).asnumpy()
    net.optimize_for(x, backend="deeprect")
    after = net(x).asnumpy()
    assert before.dtype == after.dtype == dtype
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_results_for_another_shape_are_refused():
    for shape in ((2, 4), (3, 3), (6,)):
        with pytest.raises(mx.MXNetError):
            mx.nd.deeprect_prelu(array((2, 3)), array((3,)), out=mx.nd.zeros(shape)).wait_to_read()
