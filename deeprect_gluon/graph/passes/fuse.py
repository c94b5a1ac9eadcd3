"""The passes that put this package's operators in the place of MXNet's."""

from __future__ import annotations

import numpy as np

from ...nn import LARGE_WEIGHT
from ..form import Entry, Graph, Node
from .affine import affine

# Up to so many filters, or channels of the input, convolutions are fastest as plain sums; measured
# on 2026-11-27 against MXNet's and Winograd's.
FEW_FILTERS, FEW_CHANNELS = 10, 3
_LARGEST_KERNEL = 15


def fuse(graph: Graph) -> Graph:
    """Compute layers by this package's operators where they are faster. The CPU only.

    A convolution takes along the scale and shift of its input, the summand of its output and the
    rectifier behind that, if nothing else takes what lies between them. Outputs stay within 1e-5 of
    the largest (5e-5 with kernels of 2): convolutions round differently.
    """
    return replace_prelu(graph.rewritten(_rectifier_before_shuffle).rewritten(_fused))


def replace_prelu(graph: Graph) -> Graph:
    """Compute rectifiers with slopes by `deeprect_prelu`, on the CPU or a GPU."""
    return graph.rewritten(_prelu)


def why_not(graph: Graph, node: Node) -> str | None:
    """Return why a layer stays MXNet's; None if ours is faster."""
    if node.op == "Deconvolution":
        return "it is a deconvolution"
    weight = graph.value(node.inputs[1])
    if weight is None or weight.dtype != np.float32:
        return "its weight is no float32 parameter"
    if node.op == "FullyConnected":
        if not node["flatten"]:
            return "flatten is off"
        return None if weight.size >= LARGE_WEIGHT else "its weight is small"
    if node["layout"] not in (None, "NCHW"):
        return f"its layout is {node['layout']}"
    if any(step != 1 for step in node["stride"]):
        return f"its stride is {node['stride']}"
    if any(step != 1 for step in node["dilate"]):
        return f"its dilation is {node['dilate']}"
    if node["num_group"] != 1:
        return f"it has {node['num_group']} groups"
    kernel = node["kernel"]
    pad = node["pad"] or (0,) * len(kernel)
    if len(set(pad)) > 1 or pad[0] >= kernel[0]:
        return f"its padding is {pad}"
    if len(kernel) != 2 or kernel[0] != kernel[1] or _algorithm(weight) is None:
        return f"its kernel is {kernel}"
    return None


def _algorithm(weight: np.ndarray) -> str | None:
    """Return the fastest algorithm for a convolution of stride 1; None if it is MXNet's."""
    filters, channels, kernel = weight.shape[:3]
    if 1 < kernel <= _LARGEST_KERNEL and (filters <= FEW_FILTERS or channels <= FEW_CHANNELS):
        return "direct"
    return "winograd" if kernel in (2, 3) else None


def _rectifier_before_shuffle(graph: Graph, node: Node) -> Entry | None:
    """Rectify before `depth_to_space`: the convolution that makes its input then does it."""
    shuffle = node.inputs[0].node if node.inputs else node
    if shuffle.op != "depth_to_space" or shuffle.uses > 1:
        return None
    alpha = _slopes(graph, node)
    value = None if alpha is None else graph.value(alpha)
    if value is None:
        return None
    # Channel c of the output comes from the channels c, c + C, c + 2 C and so on.
    slopes = np.tile(value, shuffle["block_size"] ** 2) if value.size > 1 else value
    inputs = [shuffle.inputs[0], graph.constant(f"{node.name}_slope", slopes)]
    attrs = {"act_type": "prelu"}
    rectifier = Node("LeakyReLU", node.name, attrs, inputs, layers=node.layers)
    return Entry(
        Node(shuffle.op, shuffle.name, shuffle.attrs, [Entry(rectifier)], layers=shuffle.layers)
    )


def _fused(graph: Graph, node: Node) -> Entry | None:
    if node.op == "Convolution" and not why_not(graph, node):
        return _convolution(graph, node)
    if node.op == "FullyConnected" and not why_not(graph, node):
        inputs = [*node.inputs[:2], _bias(graph, node, node["num_hidden"])]
        return Entry(Node("deeprect_dense", node.name, {}, inputs, layers=node.layers))
    if node.op == "Pooling" and _is_plain_max(node):
        attrs = {"window": node["kernel"][0], "stride": (node["stride"] or (1,))[0]}
        return Entry(Node("deeprect_max_pool", node.name, attrs, node.inputs, layers=node.layers))
    if node.op == "depth_to_space":
        return Entry(
            Node("deeprect_depth_to_space", node.name, node.attrs, node.inputs, layers=node.layers)
        )
    if node.op == "elemwise_add":
        return _with_summand(graph, node)
    return _with_rectifier(graph, node)


def _convolution(graph: Graph, conv: Node) -> Entry:
    """Return a convolution, with the scale and shift of its input."""
    weight = graph.value(conv.inputs[1])
    assert weight is not None
    data, layers, more = conv.inputs[0], conv.layers, []
    scaled = affine(graph, data.node) if data.node.uses == 1 and not data.output else None
    if scaled:
        data, layers = scaled.source, data.node.layers + layers
        for name, values in (("scale", scaled.scale), ("shift", scaled.shift)):
            array = np.broadcast_to(values, weight.shape[1]).astype(np.float32)
            more.append(graph.constant(f"{conv.name}_{name}", array))
    inputs = [
        data,
        conv.inputs[1],
        _bias(graph, conv, conv["num_filter"]),
        graph.constant(f"{conv.name}_no_rectifier", np.ones(1, np.float32)),
        *more,
    ]
    attrs = {
        "pad": (conv["pad"] or (0,))[0],
        "algorithm": _algorithm(weight),
        "scaled": bool(scaled),
        "added": False,
    }
    return Entry(Node("deeprect_fused_conv", conv.name, attrs, inputs, layers=layers))


def _is_linear(graph: Graph, entry: Entry) -> bool:
    """Return whether an output is that of a convolution without rectifier, and used once."""
    node = entry.node
    if node.op != "deeprect_fused_conv" or node.uses > 1:
        return False
    slope = graph.value(node.inputs[3])
    return slope is not None and slope.size == 1 and slope.item() == 1


def _with_summand(graph: Graph, add: Node) -> Entry | None:
    for conv, other in (add.inputs, add.inputs[::-1]):
        if _is_linear(graph, conv) and not conv.node.attrs["added"]:
            inputs = [*conv.node.inputs[:4], other, *conv.node.inputs[4:]]
            attrs = {**conv.node.attrs, "added": True}
            return _changed(conv.node, add, attrs, inputs)
    return None


def _with_rectifier(graph: Graph, node: Node) -> Entry | None:
    if not node.inputs or not _is_linear(graph, node.inputs[0]):
        return None
    alpha = _slopes(graph, node)
    if alpha is None:
        return None
    conv = node.inputs[0].node
    return _changed(conv, node, conv.attrs, [*conv.inputs[:3], alpha, *conv.inputs[4:]])


def _changed(conv: Node, last: Node, attrs: dict, inputs: list[Entry]) -> Entry:
    return Entry(Node(conv.op, last.name, attrs, inputs, layers=conv.layers + last.layers))


def _prelu(graph: Graph, node: Node) -> Entry | None:
    alpha = _slopes(graph, node)
    if node.op != "LeakyReLU" or node["act_type"] != "prelu" or alpha is None:
        return None
    inputs = [node.inputs[0], alpha]
    return Entry(Node("deeprect_prelu", node.name, {"axis": 1}, inputs, layers=node.layers))


def _slopes(graph: Graph, node: Node) -> Entry | None:
    """Return the slopes of a rectifier as a vector; None if the node is none, or they are unknown.

    A ReLU has one slope, 0.
    """
    if node.op == "relu" or (node.op == "Activation" and node["act_type"] == "relu"):
        return graph.constant(f"{node.name}_slope", np.zeros(1, np.float32))
    if node.op == "deeprect_prelu" and node.attrs.get("axis", 1) == 1:
        return node.inputs[1]
    if node.op != "LeakyReLU" or node["act_type"] not in ("prelu", "leaky"):
        return None
    if node["act_type"] == "leaky":
        return graph.constant(f"{node.name}_slope", np.full(1, node["slope"], np.float32))
    value = graph.value(node.inputs[1])
    if value is None or value.dtype != np.float32:
        return None
    if value.ndim == 1:
        return node.inputs[1]
    return graph.constant(f"{node.name}_slope", value.reshape(-1))


def _bias(graph: Graph, node: Node, outputs: int) -> Entry:
    if len(node.inputs) == 3:
        return node.inputs[2]
    return graph.constant(f"{node.name}_bias", np.zeros(outputs, np.float32))


def _is_plain_max(node: Node) -> bool:
    kernel, stride = node["kernel"], node["stride"] or (1, 1)
    return (
        (node["pool_type"], node["pooling_convention"]) == ("max", "valid")
        and not node["global_pool"]
        and not any(node["pad"])
        and node["layout"] in (None, "NCHW")
        and len(kernel) == 2
        and kernel[0] == kernel[1]
        and stride[0] == stride[1]
    )
