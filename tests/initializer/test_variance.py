"""The paper's two variance conditions, measured through 30 layers."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from deeprect_gluon.initializer import MSRA, rectifier_slopes, variance_report
from deeprect_gluon.models import get_model
from deeprect_gluon.nn import PReLU

# Wide, for the variance of a narrow net varies much from one set of weights to the next.
DEPTH, WIDTH, SEEDS = 30, 768, 8


def dense_net(widths, activation):
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        for before, after in zip(widths, widths[1:]):
            net.add(nn.Dense(after, in_units=before, use_bias=False), activation())
    return net


def reports(widths, activation, init):
    """Reports of the same net with weights of different seeds."""
    for seed in range(SEEDS):
        net = dense_net(widths, activation)
        net.initialize(init(net, seed))
        x = np.random.default_rng(seed).standard_normal((16, widths[0]))
        yield variance_report(net, mx.nd.array(x), seed)


def assert_expected(values, expected):
    """The mean over seeds is the expected value, within what the seeds' own spread allows."""
    values = np.array(values)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert error < 0.25 * expected  # else the test would say nothing
    assert abs(values.mean() - expected) < 4 * error


RECTIFIERS = {
    "relu": lambda: nn.Activation("relu"),
    "prelu": PReLU,
    "leaky": lambda: nn.LeakyReLU(0.5),
}


@pytest.mark.parametrize(
    ("activation", "fan"), [("relu", "in"), ("relu", "out"), ("prelu", "in"), ("leaky", "out")]
)
def test_both_conditions_hold_through_30_layers(activation, fan):
    def init(net, seed):
        return MSRA(rectifier_slopes(net), fan, seed)

    found = list(reports([WIDTH] * (DEPTH + 1), RECTIFIERS[activation], init))
    for depth in (0, 9, 19, 29):
        # The first layer sees normal input instead of a rectifier's: a factor 2 / (1 + a^2).
        first = found[0].layers[0].forward_expected
        assert_expected([r.layers[depth].forward for r in found], first)
        assert_expected([r.layers[depth].backward for r in found], 1.0)


def test_xavier_halves_the_variance_in_every_layer():
    def init(net, seed):
        return MSRA(1.0, "in", seed)  # variance 1 / n

    found = list(reports([WIDTH] * (DEPTH + 1), RECTIFIERS["relu"], init))
    assert_expected([r.layers[-1].forward for r in found], 0.5 ** (DEPTH - 1))
    assert_expected([r.layers[0].backward for r in found], 0.5**DEPTH)


def test_fan_in_and_fan_out_differ_by_c2_over_dl():
    widths = [64, 96, 128, 192, 256, 256, 384, 512]
    last = {}
    for fan in ("in", "out"):
        found = list(reports(widths, RECTIFIERS["relu"], lambda net, s, f=fan: MSRA(0.0, f, s)))
        first = np.mean([r.layers[0].forward for r in found])
        last[fan] = [r.layers[-1].forward / first for r in found]
    assert_expected(last["in"], 1.0)
    # c_2 is the width after the first layer, d_L that of the last.
    assert_expected(last["out"], widths[1] / widths[-1])


def test_expected_values_are_the_paper_s_products():
    """Of a net of two layers, by hand."""
    net = dense_net([3, 4, 5], RECTIFIERS["leaky"])
    net.initialize(MSRA(0.5, seed=1))
    x = mx.nd.array(np.random.default_rng(0).standard_normal((7, 3)))
    first, second = variance_report(net, x).layers
    w1, w2 = (np.square(layer.weight.data().asnumpy()).mean() for layer in (net[0], net[2]))
    gain = (1 + 0.5**2) / 2
    assert first.forward_expected == pytest.approx(3 * w1 * np.square(x.asnumpy()).mean())
    assert second.forward_expected == pytest.approx(first.forward_expected * gain * 4 * w2)
    assert first.backward_expected == pytest.approx(second.backward_expected * gain * 4 * w1)
    assert (second.fan_in, second.fan_out) == (4, 5)


def test_measured_values_are_those_of_one_graph():
    """Layer by layer or at once: the gradient of the input is the same."""
    net = dense_net([3, 4, 5], PReLU)
    net.initialize(MSRA(0.25, seed=1))
    x = mx.nd.array(np.random.default_rng(0).standard_normal((7, 3)))
    head = mx.nd.array(np.random.default_rng(8).standard_normal((7, 5)))
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
    y.backward(head)
    before = net[0].weight.grad().asnumpy()
    report = variance_report(net, x, seed=8)
    assert report.layers[0].backward == pytest.approx(np.square(x.grad.asnumpy()).mean())
    y2 = net[2](net[:2](x)).asnumpy()
    assert report.layers[1].forward == pytest.approx(np.square(y2).mean())
    np.testing.assert_array_equal(net[0].weight.grad().asnumpy(), before)


def test_gradients_pass_through_poolings_and_not_through_dropout():
    size = {"stem": "small_image", "input_size": 28, "in_channels": 1, "width": 0.25}
    nets = [
        get_model("deeprect_small14", hidden=(64, 64), dropout=dropout, **size)
        for dropout in (0.0, 0.5)
    ]
    x = mx.nd.array(np.random.default_rng(0).standard_normal((2, 1, 28, 28)))
    head = mx.nd.array(np.random.default_rng(8).standard_normal((2, 1000)))
    for net in nets:
        net.initialize(MSRA(rectifier_slopes(net), seed=2))
    x.attach_grad()
    with mx.autograd.record():
        y = nets[0](x)
    y.backward(head)
    wanted = np.square(x.grad.asnumpy()).mean()
    for net in nets:
        found = variance_report(net, x, seed=8).layers[0].backward
        assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("activation", "fan"), [("prelu", "in"), ("relu", "out")])
def test_a_30_layer_net_of_the_paper_keeps_the_order_of_magnitude(activation, fan):
    size = {"stem": "small_image", "input_size": 28, "width": 0.25, "hidden": (64, 64)}
    net = get_model("deeprect_small30", activation, **size)
    net.initialize(MSRA(rectifier_slopes(net), fan=fan, seed=2))
    x = mx.nd.array(np.random.default_rng(0).standard_normal((4, 3, 28, 28)))
    layers = variance_report(net, x).layers
    assert len(layers) == 30
    # y is measured before the rectifier: it has both signs.
    assert np.square(net.features[0](x).asnumpy()).mean() < layers[0].forward
    # Poolings and borders, which the equations leave out, account for the rest.
    deepest = layers[26]
    assert 0.01 < deepest.forward / deepest.forward_expected < 100


def test_report_prints_a_row_for_each_layer():
    net = dense_net([3, 4, 5], PReLU)
    net.initialize(MSRA(0.25))
    lines = str(variance_report(net, mx.nd.ones((2, 3)))).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("net_dense0_weight")


def test_what_is_no_sequence_is_named():
    merged = nn.Dense(2, activation="relu")
    merged.initialize()
    with pytest.raises(ValueError, match=r"dense.*Dense.*neither a sequence nor a single layer"):
        variance_report(merged, mx.nd.ones((1, 2)))
    with pytest.raises(ValueError, match="no layer with weights"):
        variance_report(nn.Activation("relu"), mx.nd.ones((1, 2)))
