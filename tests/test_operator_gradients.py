"""What a gradient request means: write, add, null, many consumers, in every way MXNet runs a graph.

MXNet never hands an external operator the request itself, so all of this hangs on
`deeprect_gluon.operators`; see docs/operator.md.
"""

import mxnet as mx
import numpy as np
import pytest
from prelu_reference import along, prelu_gradients
from prelu_reference import prelu as prelu_reference

import deeprect_gluon as dg

SHAPE = (4, 3, 5, 6)
HYBRIDIZATIONS = {
    "imperative": None,
    "hybridized": {},
    "static_alloc": {"static_alloc": True},
    "static_shape": {"static_alloc": True, "static_shape": True},
}
MODES = [*HYBRIDIZATIONS, "symbolic"]


class FanOut(mx.gluon.HybridBlock):
    """sum of k * prelu(2x, alpha), k = 1 … consumers: `consumers` readers of 2x and of alpha."""

    def __init__(self, consumers, channels, **kwargs):
        super().__init__(**kwargs)
        self.consumers = consumers
        self.alpha = self.params.get("alpha", shape=(channels,), init=mx.init.Constant(0.25))

    def hybrid_forward(self, F, x, alpha):
        doubled = 2 * x
        outputs = [k * dg.prelu(doubled, alpha) for k in range(1, self.consumers + 1)]
        return F.add_n(*outputs)


def arrays(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((2, *shape)).astype("float32")


def gradients(net, x, dy, mode, x_req="write", alpha_req="write", passes=1):
    """Return the output, and the gradients of x and of alpha after `passes` backward passes."""
    alpha = net.alpha.data()
    if mode == "symbolic":
        data = mx.sym.Variable("data")
        args = {"data": mx.nd.array(x), net.alpha.name: alpha}
        grads = {name: mx.nd.zeros_like(value) for name, value in args.items()}
        executor = net(data).bind(mx.cpu(), args, grads, {"data": x_req, net.alpha.name: alpha_req})
        for _ in range(passes):
            y = executor.forward(is_train=True)[0]
            executor.backward(mx.nd.array(dy))
        return y.asnumpy(), grads["data"].asnumpy(), grads[net.alpha.name].asnumpy()
    net.hybridize(active=mode != "imperative", **(HYBRIDIZATIONS[mode] or {}))
    net.alpha.grad_req = alpha_req
    x = mx.nd.array(x)
    if x_req != "null":
        x.attach_grad(x_req)
    for _ in range(passes):
        with mx.autograd.record():
            y = net(x)
        y.backward(mx.nd.array(dy))
    dx = None if x_req == "null" else x.grad.asnumpy()
    dalpha = None if alpha_req == "null" else net.alpha.grad().asnumpy()
    return y.asnumpy(), dx, dalpha


def fan_out_net(consumers):
    net = FanOut(consumers, SHAPE[1])
    net.initialize()
    net.alpha.set_data(mx.nd.array([0.25, -0.5, 1.5]))
    return net


@pytest.mark.parametrize("consumers", [1, 2, 8, 20])
@pytest.mark.parametrize("mode", MODES)
def test_many_consumers(mode, consumers):
    x, dy = arrays()
    net = fan_out_net(consumers)
    weight = consumers * (consumers + 1) / 2
    alpha = net.alpha.data().asnumpy()
    y, dx, dalpha = gradients(net, x, dy, mode)
    want_dx, want_dalpha = prelu_gradients(dy, 2 * x, alpha)
    np.testing.assert_allclose(y, weight * prelu_reference(2 * x, alpha), rtol=1e-5)
    np.testing.assert_allclose(dx, 2 * weight * want_dx, rtol=1e-5)
    np.testing.assert_allclose(dalpha, weight * want_dalpha, rtol=1e-5)


REQUESTS = ["write", "add", "null"]
# Autograd itself refuses to differentiate for nothing.
PAIRS = [(x, alpha) for x in REQUESTS for alpha in REQUESTS if {x, alpha} != {"null"}]


@pytest.mark.parametrize(("x_req", "alpha_req"), PAIRS)
@pytest.mark.parametrize("mode", MODES)
def test_grad_req(mode, x_req, alpha_req):
    x, dy = arrays(seed=1)
    net = fan_out_net(2)
    want_dx, want_dalpha = prelu_gradients(dy, 2 * x, net.alpha.data().asnumpy())
    factor = {"write": 1, "add": 3}
    _, dx, dalpha = gradients(net, x, dy, mode, x_req, alpha_req, passes=3)
    if x_req != "null":
        np.testing.assert_allclose(dx, factor[x_req] * 6 * want_dx, rtol=1e-5)
    if alpha_req != "null":
        np.testing.assert_allclose(dalpha, factor[alpha_req] * 3 * want_dalpha, rtol=1e-5)


@pytest.mark.parametrize("x_req", ["write", "add"])
@pytest.mark.parametrize("mode", MODES)
def test_grad_req_with_nothing_before_the_operator(mode, x_req):
    x, dy = arrays(seed=2)
    net = dg.nn.PReLU(in_channels=3)
    net.initialize()
    want_dx, want_dalpha = prelu_gradients(dy, x, net.alpha.data().asnumpy())
    _, dx, dalpha = gradients(net, x, dy, mode, x_req, "add", passes=3)
    np.testing.assert_allclose(dx, (3 if x_req == "add" else 1) * want_dx, rtol=1e-5)
    np.testing.assert_allclose(dalpha, 3 * want_dalpha, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_one_slope_array_for_several_layers(mode):
    class Tied(mx.gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.alpha = self.params.get("alpha", shape=(3,), init=mx.init.Constant(0.25))

        def hybrid_forward(self, F, x, alpha):
            return dg.prelu(dg.prelu(dg.prelu(x, alpha), alpha), alpha)

    x, dy = arrays(seed=3)
    net = Tied()
    net.initialize()
    alpha = net.alpha.data().asnumpy()
    inner = prelu_reference(x, alpha)
    outer = prelu_reference(inner, alpha)
    d_outer, third = prelu_gradients(dy, outer, alpha)
    d_inner, second = prelu_gradients(d_outer, inner, alpha)
    d_x, first = prelu_gradients(d_inner, x, alpha)
    _, dx, dalpha = gradients(net, x, dy, mode)
    np.testing.assert_allclose(dx, d_x, rtol=1e-5)
    np.testing.assert_allclose(dalpha, first + second + third, rtol=1e-5)


# ---- between convolutions, whose tensors have layouts of oneDNN's own ----


# Whole vectors of channels, which oneDNN keeps in blocks of 8 or 16, and few, which it does not.
CHANNELS = [pytest.param((16, 32), id="blocked"), pytest.param((3, 6), id="plain")]


def convolution_net(activation, channels):
    outer, inner = channels
    net = mx.gluon.nn.HybridSequential()
    net.add(
        mx.gluon.nn.Conv2D(inner, 3, padding=1, in_channels=outer),
        activation(in_channels=inner),
        mx.gluon.nn.Conv2D(outer, 3, padding=1, in_channels=inner),
    )
    mx.random.seed(7)
    net.initialize(mx.init.Normal(0.1))
    net[1].alpha.set_data(mx.nd.random.uniform(0.1, 0.4, inner))
    return net


def convolution_net_gradients(net, mode, dtype="float32"):
    """Return the gradients of the net's parameters and of its input."""
    net.cast(dtype)
    shape = (4, net[0].weight.shape[1], 20, 20)
    x, dy = (mx.nd.array(v, dtype=dtype) for v in arrays(8, shape))
    if mode == "symbolic":
        args = {"data": x, **{name: p.data() for name, p in net.collect_params().items()}}
        grads = {name: mx.nd.zeros_like(value) for name, value in args.items()}
        executor = net(mx.sym.Variable("data")).bind(mx.cpu(), args, grads)
        executor.forward(is_train=True)
        executor.backward(dy)
        return [grads[name].asnumpy() for name in [*net.collect_params(), "data"]]
    net.hybridize(active=mode != "imperative", **(HYBRIDIZATIONS[mode] or {}))
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
    y.backward(dy)
    return [*(p.grad().asnumpy() for p in net.collect_params().values()), x.grad.asnumpy()]


def relative_errors(got, want):
    return [np.linalg.norm(g - w) / np.linalg.norm(w) for g, w in zip(got, want)]


def convolution_reference(channels):
    """The gradients in float64, for which MXNet has plain code without oneDNN."""
    return convolution_net_gradients(
        convolution_net(dg.nn.PReLU, channels), "imperative", "float64"
    )


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("mode", MODES)
def test_between_convolutions(mode, channels):
    got = convolution_net_gradients(convolution_net(dg.nn.PReLU, channels), mode)
    assert max(relative_errors(got, convolution_reference(channels))) < 1e-5


@pytest.mark.parametrize("channels", CHANNELS)
def test_imperatively_the_built_in_agrees(channels):
    """An independent check of the reference above."""
    got = convolution_net_gradients(convolution_net(mx.gluon.nn.PReLU, channels), "imperative")
    assert max(relative_errors(got, convolution_reference(channels))) < 1e-5


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "imperative"])
def test_in_a_graph_the_built_in_is_wrong(mode):
    """The reason not to use it: alpha's gradient comes out multiplied by alpha, and silently.

    MXNet lets the operator overwrite the gradient that it is still to read; a copy made for the
    sake of oneDNN's layout hides this, so it shows for plain layouts.
    """
    want = convolution_reference((3, 6))
    nets = [convolution_net(block, (3, 6)) for block in (mx.gluon.nn.PReLU, dg.nn.PReLU)]
    alpha_at = [name.endswith("alpha") for name in nets[0].collect_params()].index(True)
    built_in, ours = (convolution_net_gradients(net, mode)[alpha_at] for net in nets)
    alpha = nets[0][1].alpha.data().asnumpy()
    np.testing.assert_allclose(built_in, alpha * want[alpha_at], rtol=1e-3)
    np.testing.assert_allclose(ours, want[alpha_at], rtol=1e-3)


# ---- the block ----


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("mode", HYBRIDIZATIONS)
def test_block_infers_its_channels(mode, shared):
    x, dy = arrays(seed=4)
    net = dg.nn.PReLU(shared=shared)
    net.initialize()
    assert "deferred" in repr(net) or shared
    _, dx, dalpha = gradients_after_one_call(net, x, dy, mode)
    alpha = np.full(1 if shared else 3, 0.25)
    want_dx, want_dalpha = prelu_gradients(dy, x, alpha)
    np.testing.assert_allclose(dx, want_dx, rtol=1e-5)
    np.testing.assert_allclose(dalpha, want_dalpha, rtol=1e-5)


def gradients_after_one_call(net, x, dy, mode):
    net.hybridize(active=mode != "imperative", **(HYBRIDIZATIONS[mode] or {}))
    net(mx.nd.array(x))
    return gradients(net, x, dy, mode)


def test_symbol_infers_the_shape_of_alpha():
    data, alpha = mx.sym.Variable("data"), mx.sym.Variable("alpha")
    y = dg.prelu(data, alpha, axis=-1)
    args, outputs, _ = y.infer_shape(data=(2, 3, 4))
    assert args == [(2, 3, 4), (4,)]
    assert outputs == [(2, 3, 4)]


@pytest.mark.parametrize("axis", [1, -1])
def test_block_axis(axis):
    x = arrays(seed=5)[0]
    net = dg.nn.PReLU(axis=axis, alpha_initializer=mx.init.Uniform(1))
    net.initialize()
    y = net(mx.nd.array(x)).asnumpy()
    alpha = net.alpha.data().asnumpy()
    assert alpha.shape == (x.shape[axis],)
    want = np.where(x > 0, x, along(alpha, 4, axis) * x)
    np.testing.assert_array_equal(y, want)


def test_slopes_take_no_weight_decay():
    net = dg.nn.PReLU(in_channels=3)
    net.initialize()
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "wd": 0.5})
    with mx.autograd.record():
        y = net(mx.nd.ones((2, 3)))  # positive data: no gradient reaches the slopes
    y.backward()
    trainer.step(1)
    np.testing.assert_array_equal(net.alpha.data().asnumpy(), np.float32([0.25] * 3))


def test_static_training_equals_imperative_bit_for_bit():
    def trained(**hybridization):
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Dense(16, in_units=8), dg.nn.PReLU(), mx.gluon.nn.Dense(4, in_units=16))
        mx.random.seed(3)
        net.initialize(mx.init.Normal(0.3))
        if hybridization:
            net.hybridize(**hybridization)
        trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
        x = mx.nd.array(np.random.default_rng(9).standard_normal((32, 8)))
        for _ in range(5):
            with mx.autograd.record():
                loss = (net(x) ** 2).sum()
            loss.backward()
            trainer.step(32)
        return [p.data().asnumpy() for p in net.collect_params().values()]

    for got, want in zip(trained(static_alloc=True, static_shape=True), trained()):
        np.testing.assert_array_equal(got, want)
