"""MXNet's operators in terms of ONNX's, opset 21.

Each function writes the work of a node and returns the name of its output, or a list of names.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Sequence, Union

import numpy as np

from .form import Entry, Node
from .onnx import Writer

Translation = Callable[[Writer, Node], Union[str, Sequence[str]]]
_TRANSLATIONS: dict[str, Translation] = {}


def translate(writer: Writer, node: Node) -> Sequence[str]:
    """Write a node's work; return the names of its outputs.

    Raises
    ------
    ValueError
        If the operator, or an argument of it, is not translated; the message names the node.
    """
    if node.op not in _TRANSLATIONS:
        raise ValueError(
            f"{node.name} is of the operator {node.op}, which is not translated to ONNX"
        )
    outputs = _TRANSLATIONS[node.op](writer, node)
    return [outputs] if isinstance(outputs, str) else outputs


def _translates(*ops: str) -> Callable[[Translation], Translation]:
    def register(function: Translation) -> Translation:
        _TRANSLATIONS.update(dict.fromkeys(ops, function))
        return function

    return register


def _expect(node: Node, **allowed: Any) -> None:
    """Raise ValueError unless each argument has its allowed value, or one of several in a list."""
    for name, values in allowed.items():
        choices = values if isinstance(values, list) else [values]
        if node[name] not in choices:
            raise ValueError(
                f"{node.name} ({node.op}) has {name}={node[name]}; only "
                f"{', '.join(map(str, choices))} is translated to ONNX"
            )


def _layout(node: Node) -> None:
    """Raise ValueError if channels are not on axis 1."""
    _expect(node, layout=[None, "NCW", "NCHW", "NCDHW"])


def _per_axis(node: Node, name: str, default: int, rank: int) -> tuple[int, ...]:
    return node[name] or rank * (default,)


# ---- an operator of ONNX for each of MXNet's ----


def _same(kind: str) -> Translation:
    def translation(w: Writer, node: Node) -> str:
        return w.add(kind, node, w.inputs(node))

    return translation


_SAME = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softsign": "Softsign",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "negative": "Neg",
    "reciprocal": "Reciprocal",
    "erf": "Erf",
    "floor": "Floor",
    "ceil": "Ceil",
    "add_n": "Sum",
    "elemwise_add": "Add",
    "elemwise_sub": "Sub",
    "elemwise_mul": "Mul",
    "elemwise_div": "Div",
    "_maximum": "Max",
    "_minimum": "Min",
    "_power": "Pow",
    "broadcast_add": "Add",
    "broadcast_sub": "Sub",
    "broadcast_mul": "Mul",
    "broadcast_div": "Div",
    "broadcast_maximum": "Max",
    "broadcast_minimum": "Min",
    "broadcast_power": "Pow",
}
_TRANSLATIONS.update({op: _same(kind) for op, kind in _SAME.items()})

# ONNX's operator, and whether the number is its first operand.
_WITH_NUMBER = {
    "_plus_scalar": ("Add", False),
    "_minus_scalar": ("Sub", False),
    "_rminus_scalar": ("Sub", True),
    "_mul_scalar": ("Mul", False),
    "_div_scalar": ("Div", False),
    "_rdiv_scalar": ("Div", True),
    "_maximum_scalar": ("Max", False),
    "_minimum_scalar": ("Min", False),
    "_power_scalar": ("Pow", False),
    "_rpower_scalar": ("Pow", True),
}


@_translates(*_WITH_NUMBER)
def _with_number(w: Writer, node: Node) -> str:
    kind, first = _WITH_NUMBER[node.op]
    operands = [*w.inputs(node), w.constant(node, node["scalar"])]
    return w.add(kind, node, operands[::-1] if first else operands)


@_translates("square")
def _square(w: Writer, node: Node) -> str:
    return w.add("Mul", node, 2 * w.inputs(node))


@_translates("rsqrt")
def _rsqrt(w: Writer, node: Node) -> str:
    return w.add("Reciprocal", node, [w.add("Sqrt", node, w.inputs(node))])


@_translates("clip")
def _clip(w: Writer, node: Node) -> str:
    bounds = [w.constant(node, node[name]) for name in ("a_min", "a_max")]
    return w.add("Clip", node, [*w.inputs(node), *bounds])


@_translates("Cast")
def _cast(w: Writer, node: Node) -> str:
    _expect(node, dtype="float32")
    return w.add("Cast", node, w.inputs(node), to=1)  # TensorProto.FLOAT


# ---- layers ----


def _windows(node: Node) -> dict[str, Any]:
    """Return ONNX's arguments for the windows of a convolution, or of a transposed one."""
    rank = len(node["kernel"])
    return {
        "kernel_shape": node["kernel"],
        "strides": _per_axis(node, "stride", 1, rank),
        "dilations": _per_axis(node, "dilate", 1, rank),
        "pads": 2 * _per_axis(node, "pad", 0, rank),
        "group": node["num_group"],
    }


@_translates("Convolution")
def _convolution(w: Writer, node: Node) -> str:
    _layout(node)
    return w.add(
        "Conv",
        node,
        w.inputs(node),
        **_windows(node),
    )


@_translates("Deconvolution")
def _deconvolution(w: Writer, node: Node) -> str:
    _layout(node)
    # MXNet's own kernel on the CPU fails with a target_shape.
    _expect(node, target_shape=())
    return w.add(
        "ConvTranspose",
        node,
        w.inputs(node),
        output_padding=_per_axis(node, "adj", 0, len(node["kernel"])),
        **_windows(node),
    )


@_translates("FullyConnected")
def _fully_connected(w: Writer, node: Node) -> str:
    data, weight, *bias = w.inputs(node)
    if node["flatten"]:
        if len(w.shape(node.inputs[0])) > 2:
            data = w.add("Flatten", node, [data], axis=1)
        return w.add("Gemm", node, [data, weight, *bias], transB=1)
    weight = w.add("Transpose", node, [weight], perm=(1, 0))
    product = w.add("MatMul", node, [data, weight])
    return w.add("Add", node, [product, *bias]) if bias else product


@_translates("BatchNorm")
def _batch_norm(w: Writer, node: Node) -> str:
    _expect(node, axis=1)
    data, gamma, *others = node.inputs
    ones = node["fix_gamma"]
    scale = w.constant(node, np.ones(w.shape(gamma))) if ones else w.tensor(gamma)
    inputs = [w.tensor(data), scale, *map(w.tensor, others)]
    return w.add("BatchNormalization", node, inputs, epsilon=node["eps"])


@_translates("InstanceNorm")
def _instance_norm(w: Writer, node: Node) -> str:
    return w.add("InstanceNormalization", node, w.inputs(node), epsilon=node["eps"])


@_translates("LayerNorm")
def _layer_norm(w: Writer, node: Node) -> str:
    _expect(node, axis=[-1, len(w.shape(node.inputs[0])) - 1])
    return w.add("LayerNormalization", node, w.inputs(node), epsilon=node["eps"], axis=-1)


@_translates("LRN")
def _lrn(w: Writer, node: Node) -> str:
    settings = {"alpha": node["alpha"], "beta": node["beta"], "bias": node["knorm"]}
    return w.add("LRN", node, w.inputs(node), size=node["nsize"], **settings)


@_translates("L2Normalization")
def _l2_normalization(w: Writer, node: Node) -> str:
    rank = len(w.shape(node.inputs[0]))
    first, end = {"instance": (1, rank), "channel": (1, 2), "spatial": (2, rank)}[node["mode"]]
    (data,) = w.inputs(node)
    square = w.add("Mul", node, [data, data])
    axes = w.constant(node, range(first, end), np.int64)
    total = w.add("ReduceSum", node, [square, axes], keepdims=1)
    norm = w.add("Sqrt", node, [w.add("Add", node, [total, w.constant(node, node["eps"])])])
    return w.add("Div", node, [data, norm])


@_translates("Activation")
def _activation(w: Writer, node: Node) -> str:
    kinds = {
        "relu": "Relu",
        "sigmoid": "Sigmoid",
        "tanh": "Tanh",
        "softrelu": "Softplus",
        "softsign": "Softsign",
    }
    _expect(node, act_type=list(kinds))
    return w.add(kinds[node["act_type"]], node, w.inputs(node))


@_translates("hard_sigmoid")
def _hard_sigmoid(w: Writer, node: Node) -> str:
    return w.add("HardSigmoid", node, w.inputs(node), alpha=node["alpha"], beta=node["beta"])


@_translates("LeakyReLU")
def _leaky_relu(w: Writer, node: Node) -> str:
    kind, data = node["act_type"], w.inputs(node, 1)
    if kind == "prelu":
        return _prelu(w, node, 1)
    if kind == "rrelu":
        return w.add("LeakyRelu", node, data, alpha=(node["lower_bound"] + node["upper_bound"]) / 2)
    if kind == "leaky":
        return w.add("LeakyRelu", node, data, alpha=node["slope"])
    if kind == "elu":
        return w.add("Elu", node, data, alpha=node["slope"])
    return w.add({"selu": "Selu", "gelu": "Gelu"}[kind], node, data)


def _prelu(w: Writer, node: Node, axis: int) -> str:
    data = node.inputs[0]
    rank = len(w.shape(data))
    # ONNX aligns the last axes of slopes and data.
    slopes = w.value(node, 1).reshape(-1, *((1,) * (rank - 1 - axis % rank)))
    return w.add("PRelu", node, [*w.inputs(node, 1), w.constant(node, slopes)])


@_translates("softmax", "log_softmax")
def _softmax(w: Writer, node: Node) -> str:
    _expect(node, use_length=[False, None])
    (data,) = w.inputs(node)
    if node["temperature"] not in (None, 1.0):
        data = w.add("Div", node, [data, w.constant(node, node["temperature"])])
    kind = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[node.op]
    return w.add(kind, node, [data], axis=node["axis"])


@_translates("Embedding")
def _embedding(w: Writer, node: Node) -> str:
    data, weight = w.inputs(node)
    rows = w.add("Cast", node, [data], to=7)  # TensorProto.INT64
    last = w.constant(node, node["input_dim"] - 1, np.int64)
    # MXNet takes the nearest row for an index beyond the table.
    rows = w.add("Min", node, [w.add("Max", node, [rows, w.constant(node, 0, np.int64)]), last])
    return w.add("Gather", node, [weight, rows], axis=0)


# ---- pooling ----


@_translates("Pooling")
def _pooling(w: Writer, node: Node) -> str:
    _layout(node)
    _expect(node, pooling_convention=["valid", "full"])
    kind, data = node["pool_type"], w.inputs(node)
    if node["global_pool"]:
        if kind == "sum":
            axes = w.constant(node, range(2, len(w.shape(node.inputs[0]))), np.int64)
            return w.add("ReduceSum", node, [*data, axes], keepdims=1)
        kinds = {"max": "GlobalMaxPool", "avg": "GlobalAveragePool", "lp": "GlobalLpPool"}
        return w.add(kinds[kind], node, data, p=node["p_value"] if kind == "lp" else None)
    kernel = node["kernel"]
    rank = len(kernel)
    stride, pad = _per_axis(node, "stride", 1, rank), _per_axis(node, "pad", 0, rank)
    # The convention "full" has windows that reach beyond the padding. What is beyond is no part of
    # an average, and ONNX's ceil_mode means different things to different runtimes.
    sizes = zip(w.shape(node.inputs[0])[2:], w.shape(Entry(node))[2:], kernel, stride, pad)
    beyond = [max(0, (out - 1) * s + k - size - 2 * p) for size, out, k, s, p in sizes]
    pads = [*pad, *(p + b for p, b in zip(pad, beyond))]
    if any(p >= k for p, k in zip(pads[rank:], kernel)):
        raise ValueError(
            f"{node.name} ({node.op}) has windows that lie in the padding alone, which ONNX's "
            "runtimes refuse; use pooling_convention='valid'"
        )
    window = {"kernel_shape": kernel, "strides": stride}
    if kind == "max":
        return w.add("MaxPool", node, data, pads=pads, **window)
    if kind == "lp":
        return w.add("LpPool", node, data, pads=pads, p=node["p_value"], **window)
    if kind == "sum":
        mean = w.add("AveragePool", node, data, pads=pads, count_include_pad=1, **window)
        return w.add("Mul", node, [mean, w.constant(node, math.prod(kernel))])
    if node["count_include_pad"] is not False and any(pad) and any(beyond):
        border = w.constant(node, 2 * [0, 0, *pad], np.int64)
        data, pads = [w.add("Pad", node, [*data, border])], [*([0] * rank), *beyond]
        return w.add("AveragePool", node, data, pads=pads, count_include_pad=0, **window)
    include = int(node["count_include_pad"] is not False and not any(beyond))
    return w.add("AveragePool", node, data, pads=pads, count_include_pad=include, **window)


@_translates("_contrib_AdaptiveAvgPooling2D")
def _adaptive_pooling(w: Writer, node: Node) -> str:
    _expect(node, output_size=[(), (1,), (1, 1)])
    return w.add("GlobalAveragePool", node, w.inputs(node))


@_translates("UpSampling")
def _up_sampling(w: Writer, node: Node) -> str:
    _expect(node, sample_type="nearest", num_args=1)
    scales = w.constant(node, [1, 1, node["scale"], node["scale"]])
    return w.add(
        "Resize",
        node,
        [*w.inputs(node), "", scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


# ---- shapes ----


@_translates("Reshape", "expand_dims", "squeeze")
def _reshape(w: Writer, node: Node) -> str:
    shape = w.constant(node, w.free_shape(Entry(node), node.name), np.int64)
    return w.add("Reshape", node, [*w.inputs(node), shape])


@_translates("Flatten")
def _flatten(w: Writer, node: Node) -> str:
    return w.add("Flatten", node, w.inputs(node), axis=1)


@_translates("transpose")
def _transpose(w: Writer, node: Node) -> str:
    rank = len(w.shape(node.inputs[0]))
    return w.add("Transpose", node, w.inputs(node), perm=node["axes"] or range(rank)[::-1])


@_translates("SwapAxis")
def _swap_axes(w: Writer, node: Node) -> str:
    axes = list(range(len(w.shape(node.inputs[0]))))
    first, second = node["dim1"], node["dim2"]
    axes[first], axes[second] = axes[second], axes[first]
    return w.add("Transpose", node, w.inputs(node), perm=axes)


@_translates("Concat")
def _concat(w: Writer, node: Node) -> str:
    return w.add("Concat", node, w.inputs(node), axis=node["dim"])


@_translates("stack")
def _stack(w: Writer, node: Node) -> str:
    axes = w.constant(node, [node["axis"]], np.int64)
    parts = [w.add("Unsqueeze", node, [name, axes]) for name in w.inputs(node)]
    return w.add("Concat", node, parts, axis=node["axis"])


@_translates("SliceChannel")
def _slice_channel(w: Writer, node: Node) -> list[str]:
    axis, outputs = node["axis"], node["num_outputs"]
    parts = w.add("Split", node, w.inputs(node), outputs, axis=axis, num_outputs=outputs)
    parts = [parts] if outputs == 1 else parts
    if not node["squeeze_axis"]:
        return parts
    axes = w.constant(node, [axis], np.int64)
    return [w.add("Squeeze", node, [part, axes]) for part in parts]


@_translates("slice_axis")
def _slice_axis(w: Writer, node: Node) -> str:
    return _slice(w, node, [node["axis"]], [node["begin"]], [node["end"]], [1])


@_translates("slice")
def _slice_axes(w: Writer, node: Node) -> str:
    begin, end = node["begin"], node["end"]
    step = node["step"] or len(begin) * (1,)
    return _slice(w, node, range(len(begin)), begin, end, [s or 1 for s in step])


def _slice(w: Writer, node: Node, axes, begin, end, step) -> str:
    """Write a slice; None as a begin or an end stands for that of the axis."""
    far = np.iinfo(np.int64).max
    begin = [(0 if s > 0 else far) if b is None else b for b, s in zip(begin, step)]
    end = [(far if s > 0 else -far) if e is None else e for e, s in zip(end, step)]
    numbers = [w.constant(node, list(values), np.int64) for values in (begin, end, axes, step)]
    return w.add("Slice", node, [*w.inputs(node), *numbers])


@_translates("Pad")
def _pad(w: Writer, node: Node) -> str:
    width = node["pad_width"]
    pads = w.constant(node, [*width[::2], *width[1::2]], np.int64)
    data = [*w.inputs(node), pads]
    if node["mode"] == "constant":
        data.append(w.constant(node, node["constant_value"]))
    return w.add("Pad", node, data, mode=node["mode"])


@_translates("depth_to_space")
def _depth_to_space(w: Writer, node: Node) -> str:
    return w.add("DepthToSpace", node, w.inputs(node), blocksize=node["block_size"], mode="DCR")


@_translates("space_to_depth")
def _space_to_depth(w: Writer, node: Node) -> str:
    return w.add("SpaceToDepth", node, w.inputs(node), blocksize=node["block_size"])


# ---- reductions ----

_REDUCTIONS = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin"}


@_translates(*_REDUCTIONS)
def _reduction(w: Writer, node: Node) -> str:
    rank = len(w.shape(node.inputs[0]))
    axis = node["axis"]
    axes = [axis] if isinstance(axis, int) else list(axis or range(rank))
    if node["exclude"]:
        axes = sorted(set(range(rank)) - {a % rank for a in axes})
    data = [*w.inputs(node), w.constant(node, axes, np.int64)]
    return w.add(_REDUCTIONS[node.op], node, data, keepdims=int(node["keepdims"]))


# ---- this package's operators ----


@_translates("deeprect_prelu")
def _deeprect_prelu(w: Writer, node: Node) -> str:
    return _prelu(w, node, node.attrs.get("axis", 1))


@_translates("deeprect_dense")
def _deeprect_dense(w: Writer, node: Node) -> str | Sequence[str]:
    return _fully_connected(w, Node("FullyConnected", node.name, {"flatten": True}, node.inputs))


@_translates("deeprect_max_pool")
def _deeprect_max_pool(w: Writer, node: Node) -> str:
    window, stride = 2 * (node.attrs["window"],), 2 * (node.attrs["stride"],)
    return w.add("MaxPool", node, w.inputs(node), kernel_shape=window, strides=stride)


@_translates("deeprect_conv_prelu")
def _deeprect_conv_prelu(w: Writer, node: Node) -> str:
    data, weight, bias = w.inputs(node, 3)
    z = w.add("Conv", node, [data, weight, bias], pads=4 * (node.attrs.get("pad", 0),))
    if node.attrs.get("activation") == "relu":
        return w.add("Relu", node, [z])
    slopes = w.value(node, 3).reshape(-1, 1, 1)
    return w.add("PRelu", node, [z, w.constant(node, slopes)])


TRANSLATED = frozenset(_TRANSLATIONS)
