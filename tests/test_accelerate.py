"""Accelerated nets are equal to the nets, wherever MXNet runs graphs."""

import re
import threading

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon.acceleration import accelerate, accelerated, explain
from deeprect_gluon.export import export, load_export
from deeprect_gluon.graph import from_net, named_arrays, to_symbol
from tests.graph.old_format import old_params, old_symbol

nn = mx.gluon.nn


class Unit(nn.HybridBlock):
    """A residual unit of a face recogniser: normalise, convolve, rectify, convolve, normalise."""

    def __init__(self, channels):
        super().__init__()
        with self.name_scope():
            self.body = nn.HybridSequential()
            self.body.add(
                nn.BatchNorm(),
                nn.Conv2D(channels, 3, 1, 1, use_bias=False),
                nn.BatchNorm(),
                nn.PReLU(),
                nn.Conv2D(channels, 3, 1, 1, use_bias=False),
                nn.BatchNorm(),
            )

    def hybrid_forward(self, F, x):
        return self.body(x) + x


@pytest.fixture(scope="module")
def net():
    net = nn.HybridSequential(prefix="face_")
    with net.name_scope():
        net.add(nn.Conv2D(8, 3, 1, 1, use_bias=False), nn.BatchNorm(), nn.PReLU())
        net.add(Unit(8), Unit(8), nn.MaxPool2D(2, 2), nn.BatchNorm(), nn.Dropout(0.4))
        net.add(nn.Flatten(), nn.Dense(5), nn.BatchNorm(scale=False))
    net.initialize(mx.init.MSRAPrelu())
    random = np.random.default_rng(1)
    net(mx.nd.zeros((1, 3, 12, 12)))
    for name, parameter in net.collect_params().items():
        if "running" in name or "gamma" in name or "beta" in name or "alpha" in name:
            parameter.set_data(mx.nd.array(0.5 + random.random(parameter.shape)))
    return net


@pytest.fixture(scope="module")
def x():
    return mx.nd.array(np.random.default_rng(2).standard_normal((4, 3, 12, 12)))


@pytest.fixture(scope="module")
def expected(net, x):
    return net(x).asnumpy()


@pytest.fixture(scope="module")
def prefix(net, tmp_path_factory):
    """The net in the files of MXNet 0.8."""
    folder = tmp_path_factory.mktemp("old")
    graph = from_net(net)
    for node in graph.calls():
        if node.op == "BatchNorm":
            # Version 0.8 named the states after the call.
            for entry, name in zip(node.inputs[3:], ("moving_mean", "moving_var")):
                array = graph.arrays.pop(entry.node.name)
                entry.node.name = f"{node.name}_{name}"
                graph.arrays[entry.node.name] = array
    symbol = to_symbol(graph)
    (folder / "face-symbol.json").write_text(old_symbol(symbol))
    (folder / "face-0007.params").write_bytes(old_params(named_arrays(graph, symbol), 0))
    return folder / "face"


def close(y, expected):
    np.testing.assert_allclose(y.asnumpy(), expected, rtol=0, atol=5e-5 * np.abs(expected).max())


def test_a_live_net(net, x, expected):
    before = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    fast = accelerate(net)
    close(fast(x), expected)
    close(fast(x[:1]), expected[:1])
    # The net itself is as it was.
    for name, parameter in net.collect_params().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), before[name])


def test_files_of_mxnet_0_8(prefix, x, expected):
    close(accelerate(prefix, 7)(x), expected)


def test_every_layer_is_fused_and_the_table_says_so(net):
    before = from_net(net)
    after = accelerated(before, mx.cpu())
    rows = explain(before, after)
    convolutions = [row for row in rows if any("conv" in name for name in row.layers)]
    assert [row.operator for row in convolutions] == 5 * ["deeprect_fused_conv"]
    assert not any(row.why for row in convolutions)
    named = [name for row in rows for name in row.layers]
    assert sorted(named) == sorted(node.name for node in before.calls())
    # Nothing of the units is left beside their convolutions.
    left = [node.op for node in after.calls() if node.op != "deeprect_fused_conv"]
    assert left == ["deeprect_max_pool", "FullyConnected"]
    (dense,) = (row for row in rows if row.operator == "FullyConnected")
    assert dense.why == "its weight is small"
    gone = [name for row in rows for name in row.layers if row.operator == "none"]
    assert [any(word in name for name in gone) for word in ("dropout", "flatten")] == [True, True]


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Conv2D(4, 3, strides=2), r"its stride is \(2, 2\)"),
        (nn.Conv2D(4, 3, dilation=2), r"its dilation is \(2, 2\)"),
        (nn.Conv2D(16, 5), r"its kernel is \(5, 5\)"),
        (nn.Conv2D(3, 3, groups=3), "it has 3 groups"),
        (nn.Conv2D(4, 3, padding=(0, 1)), r"its padding is \(0, 1\)"),
    ],
)
def test_what_stays_mxnet_s_has_a_reason(layer, why):
    layer.initialize()
    layer(mx.nd.zeros((1, 6, 12, 12)))
    graph = from_net(layer)
    (row,) = explain(graph, accelerated(graph, mx.cpu()))
    assert row.operator == "Convolution"
    assert re.search(why, row.why)


def test_on_a_gpu_only_rectifiers_are_replaced(net):
    ops = {node.op for node in accelerated(from_net(net), mx.gpu()).calls()}
    assert {op for op in ops if op.startswith("deeprect")} == {"deeprect_prelu"}


def test_written_it_runs_in_symbol_block_and_module(net, x, expected, tmp_path):
    graph = accelerated(from_net(net), mx.cpu())
    symbol, params = export(graph, tmp_path / "fast", input_shape=(3, 12, 12))
    close(mx.gluon.SymbolBlock.imports(str(symbol), ["data"], str(params))(x), expected)
    close(mx.nd.array(load_export(tmp_path / "fast")(x.asnumpy())), expected)
    module = mx.mod.Module.load(str(tmp_path / "fast"), 0, label_names=None)
    module.bind([("data", x.shape)], for_training=False)
    module.forward(mx.io.DataBatch([x]), is_train=False)
    close(module.get_outputs()[0], expected)


def test_it_runs_in_threads(net, x, expected):
    fast = accelerate(net)
    fast(x).wait_to_read()
    results = {}

    def work(number):
        results[number] = fast(x).asnumpy()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for y in results.values():
        close(mx.nd.array(y), expected)


def test_weights_kept_in_float16_are_computed_once(net, x, expected, tmp_path):
    export(net, tmp_path / "half", half=True)
    fast = accelerate(tmp_path / "half")
    assert {np.dtype(p.dtype) for p in fast.collect_params().values()} == {np.dtype("f")}
    np.testing.assert_allclose(fast(x).asnumpy(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("slopes", [(8,), (1, 8)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_that_the_operators_do_not_take(dtype, slopes):
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
    after = accelerate(net)(x).asnumpy()
    assert before.dtype == after.dtype == dtype
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_its_parameters_take_no_gradients(net):
    fast = accelerate(net)
    assert {p.grad_req for p in fast.collect_params().values()} == {"null"}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-symbol.json"):
        accelerate(tmp_path / "nothing")
