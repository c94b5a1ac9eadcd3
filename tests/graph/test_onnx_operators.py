"""Every translated operator, with its kinds of arguments, against MXNet in ONNX Runtime."""

import mxnet as mx
import numpy as np
import pytest

import deeprect_gluon as dg
from deeprect_gluon.graph import onnx_operators
from tests.graph.conftest import assert_close, run_mxnet, run_onnx

X = mx.sym.var("data")
MAP, ROWS = (3, 4, 8, 9), (3, 12)
sym, internal = mx.sym, mx.sym._internal


def pool(**settings):
    return sym.Pooling(X, **{"kernel": (3, 3), "stride": (2, 2), **settings})


CASES = {
    # name: (symbol, shape of data)
    "conv": (sym.Convolution(X, kernel=(3, 2), num_filter=6, stride=(2, 1), pad=(1, 0)), MAP),
    "conv grouped, dilated, no bias": (
        sym.Convolution(X, kernel=(2, 2), num_filter=6, num_group=2, dilate=(2, 1), no_bias=True),
        MAP,
    ),
    "conv of a line": (sym.Convolution(X, kernel=(3,), num_filter=5, pad=(1,)), (2, 4, 9)),
    "conv of a volume": (sym.Convolution(X, kernel=(3, 3, 3), num_filter=5), (2, 3, 4, 5, 6)),
    "deconv": (
        sym.Deconvolution(X, kernel=(3, 4), num_filter=6, stride=(2, 2), pad=(1, 1), adj=(1, 0)),
        MAP,
    ),
    "deconv grouped": (
        sym.Deconvolution(X, kernel=(3, 3), num_filter=6, num_group=2, no_bias=False), MAP
    ),
    "dense of a map": (sym.FullyConnected(X, num_hidden=5), MAP),
    "dense no bias": (sym.FullyConnected(X, num_hidden=5, no_bias=True), ROWS),
    "dense of the last axis": (sym.FullyConnected(X, num_hidden=5, flatten=False), MAP),
    "batch norm": (sym.BatchNorm(X, fix_gamma=False, eps=1e-3), MAP),
    "batch norm with gamma of 1": (sym.BatchNorm(X, use_global_stats=True), MAP),
    "instance norm": (sym.InstanceNorm(X, eps=1e-2), MAP),
    "layer norm": (sym.LayerNorm(X), ROWS),
    "lrn": (sym.LRN(X, nsize=3, alpha=0.3, beta=0.6, knorm=1.5), MAP),
    "prelu": (sym.LeakyReLU(X, act_type="prelu"), MAP),
    "prelu of rows": (sym.LeakyReLU(X, act_type="prelu"), ROWS),
    "prelu of ours": (dg.prelu(X, sym.var("a"), axis=-1), MAP),
    "conv prelu of ours": (
        dg.conv_prelu(X, sym.var("w_weight", shape=(6, 4, 3, 3)), sym.var("b", shape=(6,)),
            sym.var("a", shape=(6,)), pad=1),
        MAP,
    ),
    "dense of ours": (
        dg.dense(X, sym.var("w_weight", shape=(5, 288)), sym.var("b", shape=(5,))), MAP
    ),
    "max pool of ours": (dg.operators.max_pool(X, 3, 2), MAP),
    "rrelu": (sym.LeakyReLU(X, act_type="rrelu", lower_bound=0.1, upper_bound=0.4)[0], MAP),
    **{f"leaky {k}": (sym.LeakyReLU(X, act_type=k, slope=0.3), MAP) for k in ("leaky", "elu")},
    **{f"leaky {k}": (sym.LeakyReLU(X, act_type=k), MAP) for k in ("selu", "gelu")},
    **{
        f"activation {k}": (sym.Activation(X, act_type=k), MAP)
        for k in ("relu", "sigmoid", "tanh", "softrelu", "softsign")
    },
    "hard sigmoid": (sym.hard_sigmoid(X, alpha=0.3, beta=0.4), MAP),
    **{
        f"pool {kind} {convention} {pad}": (
            pool(pool_type=kind, pooling_convention=convention, pad=pad), MAP
        )
        for kind in ("max", "avg", "sum")
        for convention in ("valid", "full")
        for pad in ((0, 0), (1, 1))
    },
    **{
        f"pool avg without padding, {convention}": (
            pool(pool_type="avg", pad=(1, 1), count_include_pad=False,
                 pooling_convention=convention), MAP
        )
        for convention in ("valid", "full")
    },
    "pool of windows that are not square": (pool(kernel=(3, 2), pool_type="avg"), MAP),
    "pool lp": (pool(pool_type="lp", p_value=2), MAP),
    "pool by ones": (sym.Pooling(X, kernel=(2, 2)), MAP),
    **{
        f"pool global {k}": (sym.Pooling(X, global_pool=True, kernel=(1, 1), pool_type=k), MAP)
        for k in ("max", "avg", "sum")
    },
    "pool global lp": (
        sym.Pooling(X, global_pool=True, kernel=(1, 1), pool_type="lp", p_value=2), MAP
    ),
    "pool of a line": (sym.Pooling(X, kernel=(2,), stride=(2,), pool_type="avg"), (2, 3, 8)),
    "pool adaptive": (sym.contrib.AdaptiveAvgPooling2D(X, output_size=1), MAP),
    "up-sampling": (sym.UpSampling(X, scale=3, sample_type="nearest"), MAP),
    "softmax": (sym.softmax(X, axis=1), MAP),
    "softmax with a temperature": (sym.softmax(X, temperature=2.5), ROWS),
    "log softmax": (sym.log_softmax(X), ROWS),
    **{
        f"l2 {mode}": (sym.L2Normalization(X, mode=mode), MAP)
        for mode in ("instance", "channel", "spatial")
    },
    "embedding": (sym.Embedding(X * 9, input_dim=7, output_dim=3), ROWS),
    **{
        f"{op}": (getattr(sym, op)(X), MAP)
        for op in ("relu", "sigmoid", "tanh", "softsign", "exp", "abs", "negative", "erf",
                   "floor", "ceil", "square", "identity")
    },
    **{
        f"{op}": (getattr(sym, op)(sym.abs(X) + 0.5), MAP)
        for op in ("log", "sqrt", "rsqrt", "reciprocal")
    },
    "clip": (sym.clip(X, a_min=-0.5, a_max=0.7), MAP),
    "arithmetic of two": (
        (X + sym.tanh(X)) * (X - sym.exp(X)) / (sym.square(X) + 1), MAP
    ),
    "power of two": (internal._power(sym.abs(X) + 0.1, sym.tanh(X)), MAP),
    "greater and smaller of two": (
        sym.maximum(X, sym.negative(X)) + sym.minimum(X, sym.tanh(X)), MAP
    ),
    "sum of three": (sym.add_n(X, sym.tanh(X), X), MAP),
    **{
        f"broadcast_{op}": (
            getattr(sym, f"broadcast_{op}")(
                sym.abs(X) + 0.1, 1.5 + sym.tanh(sym.mean(X, axis=(2, 3), keepdims=True))
            ),
            MAP,
        )
        for op in ("add", "sub", "mul", "div", "maximum", "minimum", "power")
    },
    "numbers": (2 / (1.5 - ((X + 1) * 3 - 2) / 4) , MAP),
    "powers": (internal._rpower_scalar(X, scalar=1.3) + (sym.abs(X) + 0.1) ** 1.7, MAP),
    "greater and smaller than numbers": (
        sym.maximum(X, 0.3) + internal._minimum_scalar(X, scalar=-0.2), MAP
    ),
    "reshape with codes": (sym.Reshape(X, shape=(0, -4, 2, -1, -3)), MAP),
    "reshape to rows": (sym.Reshape(X, shape=(0, -1)), MAP),
    "reshape batch last": (sym.Reshape(X, shape=(4, 72, -1)), MAP),
    "flatten": (sym.Flatten(X), MAP),
    "expand and squeeze": (sym.squeeze(sym.expand_dims(X, axis=2), axis=2), MAP),
    "transpose": (sym.transpose(X, axes=(0, 2, 3, 1)), MAP),
    "transpose all": (sym.transpose(X), MAP),
    "swap axes": (sym.SwapAxis(X, dim1=1, dim2=3), MAP),
    "concat": (sym.concat(X, sym.tanh(X), dim=1), MAP),
    "stack": (sym.stack(X, sym.tanh(X), axis=2), MAP),
    "both parts of a split": (
        (lambda parts: parts[0] - 2 * parts[1])(sym.split(X, num_outputs=2, axis=1)), MAP
    ),
    "squeezed parts of a split": (
        (lambda parts: parts[2])(sym.split(X, num_outputs=4, axis=1, squeeze_axis=True)), MAP
    ),
    "slice of an axis": (sym.slice_axis(X, axis=2, begin=1, end=None), MAP),
    "slice from the end": (sym.slice_axis(X, axis=3, begin=-4, end=-1), MAP),
    "slice": (sym.slice(X, begin=(None, 1, 6), end=(None, 3, 0), step=(None, 1, -2)), MAP),
    **{
        f"pad {mode}": (
            sym.Pad(X, mode=mode, pad_width=(0, 0, 0, 0, 1, 2, 3, 0), constant_value=0.5), MAP
        )
        for mode in ("constant", "edge", "reflect")
    },
    "depth to space": (sym.depth_to_space(X, 2), (2, 8, 3, 5)),
    "space to depth": (sym.space_to_depth(X, 2), (2, 3, 4, 6)),
    **{
        f"{op} over the map": (getattr(sym, op)(X, axis=(2, 3), keepdims=True), MAP)
        for op in ("mean", "sum", "max", "min")
    },
    "mean but over the channels": (sym.mean(X, axis=1, exclude=True), MAP),
    "sum over the last axis": (sym.sum(X, axis=-1), MAP),
    "cast": (sym.Cast(X, dtype="float32"), MAP),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_equal_to_mxnet(name, graph_of):
    symbol, shape = CASES[name]
    graph = graph_of(symbol, data=shape)
    for images in (shape[0], shape[0] + 2):
        x = np.random.default_rng(1).standard_normal((images, *shape[1:])).astype(np.float32)
        expected = run_mxnet(graph, {"data": x})
        assert_close(run_onnx(graph, {"data": x}), expected, 1e-5)


def test_windows_in_the_padding_alone_are_refused(graph_of):
    symbol = pool(kernel=(2, 2), pad=(1, 1), pooling_convention="full", pool_type="max", name="p")
    with pytest.raises(ValueError, match=r"p \(Pooling\) has windows that lie in the padding"):
        run_onnx(graph_of(symbol, data=MAP), {"data": np.zeros(MAP, np.float32)})


def test_every_translated_operator_has_a_case():
    tried = set()
    for symbol, _ in CASES.values():
        nodes = dg.graph.from_symbol(symbol, {}).nodes()
        tried.update(node.op for node in nodes)
    assert set(onnx_operators._TRANSLATIONS) <= tried
