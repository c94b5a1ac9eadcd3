"""Passes that leave out what inference does not need, and compute what is constant."""

from __future__ import annotations

import mxnet as mx

from ..form import Entry, Graph, Node
from ..symbols import to_symbol

# Their first input is their output, in inference.
_COPIES = frozenset(
    (
        *("_copy", "BlockGrad", "MakeLoss", "make_loss", "LinearRegressionOutput"),
        *("MAERegressionOutput", "SVMOutput", "IdentityAttachKLSparseReg"),
    )
)
# This package's operators with slopes or a bias, and the place of the first of these inputs.
_FIRST_VECTOR = {"deeprect_prelu": 1, "deeprect_conv_prelu": 2, "deeprect_dense": 2}
# Their outputs have two axes.
_FLAT = ("FullyConnected", "Flatten", "deeprect_dense")


def simplify(graph: Graph) -> Graph:
    """Leave out dropout, copies, what only gradients need, labels, and casts that change nothing.

    A sum of a tensor and itself becomes a product.

    Outputs stay the same, bit for bit.

    Raises
    ------
    ValueError
        If `SoftmaxOutput` takes the softmax over more than one axis.
    """
    types = {node["dtype"] for node in graph.calls() if "dtype" in node.attrs}
    types.update(array.dtype.name for array in graph.arrays.values())
    all_float32 = types <= {"float32", None}

    def rule(_: Graph, node: Node) -> Entry | None:
        if node.op in _COPIES or (node.op == "Dropout" and node["mode"] != "always"):
            return node.inputs[0]
        if node.op in _FIRST_VECTOR:
            _without_gradients(node)
        if node.op == "Cast" and all_float32:
            return node.inputs[0]
        if node.op == "FullyConnected" and node["flatten"] and node.inputs[0].node.op == "Flatten":
            # It flattens by itself.
            node.inputs[0] = node.inputs[0].node.inputs[0]
        if node.op == "elemwise_add" and node.inputs[0] == node.inputs[1]:
            # Batch normalisation takes that along, and MXNet's pass for oneDNN fails at the sum.
            twice = {"scalar": 2.0}
            return Entry(Node("_mul_scalar", node.name, twice, node.inputs[:1], layers=node.layers))
        if node.op == "SoftmaxOutput":
            axis = 1 if node["multi_output"] else -1
            if not (node["multi_output"] or node["preserve_shape"] or _is_flat(node.inputs[0])):
                raise ValueError(
                    f"{node.name} (SoftmaxOutput) may take the softmax over several axes; set "
                    "multi_output or preserve_shape"
                )
            return Entry(
                Node("softmax", node.name, {"axis": axis}, node.inputs[:1], layers=node.layers)
            )
        if node.op == "LogisticRegressionOutput":
            return Entry(Node("sigmoid", node.name, {}, node.inputs[:1], layers=node.layers))
        return None

    return graph.rewritten(rule)


def fold_constants(graph: Graph) -> Graph:
    """Compute the nodes that take parameters only, such as casts of float16 weights."""

    def rule(copy: Graph, node: Node) -> Entry | None:
        if not node.inputs or node.op.startswith(("_random", "_sample", "Dropout")):
            return None
        names = [e.node.name for e in node.inputs if copy.value(e) is not None]
        if len(names) < len(node.inputs):
            return None
        symbol = to_symbol(Graph([Entry(node)], copy.arrays))
        if symbol.list_auxiliary_states():
            return None
        arrays = {n: mx.nd.array(copy.arrays[n], dtype=copy.arrays[n].dtype) for n in names}
        (result,) = symbol.eval(mx.cpu(), **arrays)
        return copy.constant(node.name, result.asnumpy())

    return graph.rewritten(rule)


def constant_slopes(graph: Graph) -> Graph:
    """Write slopes that a layer shares into the graph: runtimes compute that without a tensor.

    `LeakyReLU` with one learned slope becomes one with that slope as its argument. Outputs stay
    the same but for rounding.
    """

    def rule(copy: Graph, node: Node) -> Entry | None:
        if node.op != "LeakyReLU" or node["act_type"] != "prelu":
            return None
        slope = copy.value(node.inputs[1])
        if slope is None or slope.size != 1:
            return None
        attrs = {"act_type": "leaky", "slope": float(slope.reshape(()))}
        return Entry(Node("LeakyReLU", node.name, attrs, node.inputs[:1], layers=node.layers))

    return graph.rewritten(rule)


def _without_gradients(node: Node) -> None:
    """Take away what a node of this package has for right gradients only (`operators`)."""
    if node.attrs.pop("weight_twice", False):
        node.inputs.pop()
    first = _FIRST_VECTOR[node.op]
    for i, entry in enumerate(node.inputs[first:], first):
        if entry.node.op == "expand_dims":
            node.inputs[i] = entry.node.inputs[0]


def _is_flat(entry: Entry) -> bool:
    node = entry.node
    return node.op in _FLAT and node.attrs.get("flatten", True)
