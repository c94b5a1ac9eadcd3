"""Passes over what scales and shifts each channel: batch normalisation and arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from ..form import Entry, Graph, Node


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift, with an element for each channel on axis 1 or with one for all.

    Attributes
    ----------
    source : Entry
        x.
    scale, shift : ndarray of float64, shape (C,) or (1,)
    """

    source: Entry
    scale: np.ndarray
    shift: np.ndarray

    def after(self, first: Affine) -> Affine:
        """Return the composition of this with what makes its x."""
        return Affine(first.source, self.scale * first.scale, self.scale * first.shift + self.shift)


def fold_affine(graph: Graph) -> Graph:
    """Fold batch normalisation, and arithmetic with constants, into neighbouring layers.

    Neighbours in a row become one. A row goes into the weights of the convolution or dense layer
    before it if nothing else takes that layer's output. Otherwise it goes into the weights of the
    layer behind it if it is the only one and does not pad (the border of zeros is put around what
    the row makes). What stays becomes one `BatchNorm`, or arithmetic with numbers.

    Outputs stay within 1e-5 of the largest, for variances that are not tiny: weights are rounded
    once more.
    """
    return graph.rewritten(_into_layer_before).rewritten(_into_layer_behind)


def affine(graph: Graph, node: Node) -> Affine | None:
    """Return what a node does as scale and shift, or None if it does something else."""
    found = None
    # What is not finite stays in the graph, where it has the same effect as before.
    with np.errstate(all="ignore"):
        if node.op == "BatchNorm":
            found = _batch_norm(graph, node)
        elif node.op in _WITH_NUMBER:
            number = np.full(1, node["scalar"], np.float64)
            found = Affine(node.inputs[0], *_WITH_NUMBER[node.op](number))
        elif node.op in _WITH_ARRAY:
            found = _with_array(graph, node)
    finite = found and np.isfinite(found.scale).all() and np.isfinite(found.shift).all()
    return found if finite else None


_ONE, _ZERO = np.ones(1), np.zeros(1)
# From a number s, in an array of one element, to (scale, shift).
_WITH_NUMBER: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "_mul_scalar": lambda s: (s, _ZERO),
    "_div_scalar": lambda s: (1 / s, _ZERO),
    "_plus_scalar": lambda s: (_ONE, s),
    "_minus_scalar": lambda s: (_ONE, -s),
    "_rminus_scalar": lambda s: (-_ONE, s),
}
# From (array, whether it is the second operand) to (scale, shift).
_WITH_ARRAY: dict[str, Callable[[np.ndarray, bool], tuple[np.ndarray, np.ndarray] | None]] = {
    "broadcast_mul": lambda a, _: (a, _ZERO),
    "broadcast_add": lambda a, _: (_ONE, a),
    "broadcast_sub": lambda a, second: (_ONE, -a) if second else (-_ONE, a),
    "broadcast_div": lambda a, second: (1 / a, _ZERO) if second else None,
}


def _batch_norm(graph: Graph, node: Node) -> Affine | None:
    values = [graph.value(entry) for entry in node.inputs[1:]]
    if node["axis"] != 1 or any(value is None for value in values):
        return None
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in values)
    if node["fix_gamma"]:
        gamma = np.ones_like(gamma)
    scale = gamma / np.sqrt(variance + node["eps"])
    return Affine(node.inputs[0], scale, beta - scale * mean)


def _with_array(graph: Graph, node: Node) -> Affine | None:
    for second in (True, False):
        array = graph.value(node.inputs[second])
        # Operands have as many axes as each other, so channels are on axis 1 of both.
        if array is None or array.ndim < 2 or array.size != array.shape[1]:
            continue
        found = _WITH_ARRAY[node.op](np.asarray(array, np.float64).reshape(-1), second)
        return found and Affine(node.inputs[not second], *found)
    return None


def _into_layer_before(graph: Graph, node: Node) -> Entry | None:
    found = affine(graph, node)
    if found is None:
        return None
    before = found.source.node
    if found.source.output or before.uses > 1:
        return None
    first = affine(graph, before)
    if first:
        return _as_node(graph, found.after(first), node, before)
    layer = _layer(graph, before)
    if layer is None or (before.op == "FullyConnected" and not before["flatten"]):
        return None
    weight, bias = layer
    # The axis of a weight that holds the layer's outputs.
    axis = 1 if before.op == "Deconvolution" else 0
    if axis == 1 and before["num_group"] != 1:
        return None
    channels = weight.shape[axis]
    scale, shift = np.broadcast_to(found.scale, channels), np.broadcast_to(found.shift, channels)
    weight = weight * scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    return _with_weights(graph, before, node, weight, bias * scale + shift, before.inputs[0])


def _into_layer_behind(graph: Graph, node: Node) -> Entry | None:
    layer = _layer(graph, node)
    if layer is None:
        return None
    source = node.inputs[0]
    found = None if source.output or source.node.uses > 1 else affine(graph, source.node)
    if found is None or node.op == "Deconvolution":
        return None
    weight, bias = layer
    if node.op == "Convolution":
        if any(node["pad"]):
            return None
        groups, inputs = node["num_group"], weight.shape[1]
        per_group = weight.reshape(groups, -1, *weight.shape[1:])
        shape = (groups, 1, inputs) + (1,) * (weight.ndim - 2)
        scale, shift = (
            np.broadcast_to(values, groups * inputs).reshape(shape)
            for values in (found.scale, found.shift)
        )
        more = (per_group * shift).reshape(len(weight), -1).sum(1)
        weight = (per_group * scale).reshape(weight.shape)
    else:
        inputs = weight.shape[1]
        if not node["flatten"] or inputs % len(found.scale) or inputs % len(found.shift):
            return None
        # A map is flattened channel after channel.
        scale, shift = (
            np.repeat(values, inputs // len(values)) for values in (found.scale, found.shift)
        )
        more = weight @ shift
        weight = weight * scale
    return _with_weights(graph, node, source.node, weight, bias + more, found.source)


def _layer(graph: Graph, node: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the weight and the bias of a layer, float64; None if it is none or they are unknown.

    Channels are on axis 1 of its input and of its output.
    """
    if node.op not in ("Convolution", "Deconvolution", "FullyConnected"):
        return None
    if node.op != "FullyConnected" and node["layout"] not in (None, "NCW", "NCHW", "NCDHW"):
        return None
    values = [graph.value(entry) for entry in node.inputs[1:]]
    if any(value is None for value in values):
        return None
    weight, *bias = (np.asarray(value, np.float64) for value in values)
    outputs = node["num_hidden"] if node.op == "FullyConnected" else node["num_filter"]
    return weight, bias[0] if bias else np.zeros(outputs)


def _with_weights(
    graph: Graph, layer: Node, other: Node, weight: np.ndarray, bias: np.ndarray, source: Entry
) -> Entry:
    """Return a layer that also does the work of another node, by other weights."""
    inputs = [
        source,
        graph.constant(f"{layer.name}_folded_weight", weight.astype(np.float32)),
        graph.constant(f"{layer.name}_folded_bias", bias.astype(np.float32)),
    ]
    attrs = {**layer.attrs, "no_bias": False}
    return Entry(
        Node(layer.op, layer.name, attrs, inputs, layer.hints, layer.layers + other.layers)
    )


def _as_node(graph: Graph, found: Affine, last: Node, first: Node) -> Entry:
    """Return a node that scales and shifts."""
    layers = first.layers + last.layers
    channels = max(len(found.scale), len(found.shift))
    name = last.name
    if channels == 1:
        scaled = Node(
            "_mul_scalar", f"{name}_scale", {"scalar": found.scale.item()}, [found.source]
        )
        shift = {"scalar": found.shift.item()}
        return Entry(Node("_plus_scalar", name, shift, [Entry(scaled)], layers=layers))
    values = {
        "gamma": np.broadcast_to(found.scale, channels),
        "beta": np.broadcast_to(found.shift, channels),
        "moving_mean": np.zeros(channels),
        "moving_var": np.ones(channels),
    }
    inputs = [
        graph.constant(f"{name}_folded_{key}", value.astype(np.float32))
        for key, value in values.items()
    ]
    attrs = {"eps": 0.0, "fix_gamma": False, "use_global_stats": True}
    return Entry(Node("BatchNorm", name, attrs, [found.source, *inputs], layers=layers))
