"""The pass that puts this package's operators in the place of MXNet's, on the CPU."""

from __future__ import annotations

import numpy as np

from ..form import Entry, Graph, Node

# Values of a dense layer's weight from which our operator is faster than MXNet's.
LARGE = 1 << 22


def fuse(graph: Graph) -> Graph:
    """Compute convolutions, dense layers, rectifiers and max poolings by this package's operators.

    A convolution takes along the rectifier behind it if nothing else takes its output. Outputs
    stay within 1e-5 of the largest (5e-5 with kernels of 2): convolutions round differently. The
    graph then runs on the CPU only.
    """
    return replace_prelu(graph.rewritten(_with_rectifier).rewritten(_alone))


def replace_prelu(graph: Graph) -> Graph:
    """Compute rectifiers with slopes by `deeprect_prelu`, on the CPU or a GPU."""
    return graph.rewritten(_prelu)


def why_not(graph: Graph, node: Node) -> str | None:
    """Return why a convolution or dense layer stays MXNet's; None if ours can compute it."""
    if any(a.dtype != np.float32 for e in node.inputs for a in [graph.value(e)] if a is not None):
        return "its weights are not float32"
    if node.op == "FullyConnected":
        weight = graph.value(node.inputs[1])
        if not node["flatten"]:
            return "flatten is off"
        return None if weight is not None and weight.size >= LARGE else "its weight is small"
    if node["layout"] not in (None, "NCHW"):
        return f"its layout is {node['layout']}"
    kernel = node["kernel"]
    pad = node["pad"] or (0,) * len(kernel)
    if kernel not in ((2, 2), (3, 3)):
        return f"its kernel is {kernel}"
    if any(step != 1 for step in node["stride"]):
        return f"its stride is {node['stride']}"
    if any(step != 1 for step in node["dilate"]):
        return f"its dilation is {node['dilate']}"
    if node["num_group"] != 1:
        return f"it has {node['num_group']} groups"
    if pad[0] != pad[1] or pad[0] >= kernel[0]:
        return f"its padding is {pad}"
    return None


def _with_rectifier(graph: Graph, node: Node) -> Entry | None:
    conv = node.inputs[0].node if node.inputs else node
    if conv.op != "Convolution" or conv.uses > 1 or why_not(graph, conv):
        return None
    if _is_relu(node):
        slopes = []
    else:
        alpha = _slopes(graph, node)
        if alpha is None:
            return None
        slopes = [alpha]
    return _convolution(graph, conv, slopes, node.name, conv.layers + node.layers)


def _alone(graph: Graph, node: Node) -> Entry | None:
    if node.op == "Convolution" and not why_not(graph, node):
        # A rectifier whose slope is 1 does nothing.
        one = graph.constant(f"{node.name}_slope", np.ones(1, np.float32))
        return _convolution(graph, node, [one], node.name, node.layers)
    if node.op == "FullyConnected" and not why_not(graph, node):
        inputs = [*node.inputs[:2], _bias(graph, node, node["num_hidden"])]
        return Entry(Node("deeprect_dense", node.name, {}, inputs, layers=node.layers))
    if node.op == "Pooling" and _is_plain_max(node):
        attrs = {"window": node["kernel"][0], "stride": (node["stride"] or (1,))[0]}
        return Entry(Node("deeprect_max_pool", node.name, attrs, node.inputs, layers=node.layers))
    return None


def _prelu(graph: Graph, node: Node) -> Entry | None:
    if node.op != "LeakyReLU" or node["act_type"] != "prelu":
        return None
    alpha = _slopes(graph, node)
    if alpha is None:
        return None
    inputs = [node.inputs[0], alpha]
    return Entry(Node("deeprect_prelu", node.name, {"axis": 1}, inputs, layers=node.layers))


def _is_relu(node: Node) -> bool:
    return node.op == "relu" or (node.op == "Activation" and node["act_type"] == "relu")


def _slopes(graph: Graph, node: Node) -> Entry | None:
    """Return the slopes of a rectifier as a vector; None if the node is none of these."""
    if node.op == "deeprect_prelu":
        return node.inputs[1] if node["axis"] == 1 else None
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


def _convolution(
    graph: Graph, conv: Node, slopes: list[Entry], name: str, layers: tuple[str, ...]
) -> Entry:
    attrs = {"pad": (conv["pad"] or (0,))[0], "activation": "prelu" if slopes else "relu"}
    inputs = [*conv.inputs[:2], _bias(graph, conv, conv["num_filter"]), *slopes]
    return Entry(Node("deeprect_conv_prelu", name, attrs, inputs, layers=layers))


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
