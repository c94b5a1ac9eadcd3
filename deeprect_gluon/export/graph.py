"""The graph of a net, and the changes that inference allows."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field

import mxnet as mx
import numpy as np

from ..operators import portable_operators

INPUT = "data"
# The first of the operators' inputs that are vectors, as rows while the graph can be trained.
_FIRST_VECTOR = {"deeprect_prelu": 1, "deeprect_conv_prelu": 2, "deeprect_dense": 2}
# The number by which MXNet's graphs name float16.
_FLOAT16 = "2"
# In the form in which MXNet writes it into a graph: 10901 is 1.9.1.
_MXNET_VERSION = sum(
    int(part) * place for part, place in zip(mx.__version__.split("."), (10000, 100, 1))
)


@dataclass(eq=False)
class Node:
    """An operator's call or, with op "null", a variable. Names are unique within a graph.

    Every operator here has one output that others use.
    """

    op: str
    name: str
    attrs: dict[str, str] = field(default_factory=dict)
    inputs: list[Node] = field(default_factory=list)


@dataclass
class Graph:
    """A net: the node of its scores, from which all others are reached, and its parameters.

    Parameters
    ----------
    output : Node
    arrays : dict of str to NDArray
        The values of the variables other than `data`.
    """

    output: Node
    arrays: dict[str, mx.nd.NDArray]

    def nodes(self) -> list[Node]:
        """Return what the output depends on, inputs before those that use them."""
        order: list[Node] = []
        seen: set[int] = set()
        stack = [(self.output, False)]
        while stack:
            node, inputs_are_done = stack.pop()
            if inputs_are_done:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((before, False) for before in reversed(node.inputs))
        return order

    def symbol(self) -> mx.sym.Symbol:
        """Return the graph as MXNet's symbol."""
        nodes = self.nodes()
        number = {id(node): i for i, node in enumerate(nodes)}
        content = {
            "nodes": [
                {
                    "op": node.op,
                    "name": node.name,
                    "attrs": node.attrs,
                    "inputs": [[number[id(before)], 0, 0] for before in node.inputs],
                }
                for node in nodes
            ],
            "arg_nodes": [i for i, node in enumerate(nodes) if node.op == "null"],
            "heads": [[number[id(self.output)], 0, 0]],
            "attrs": {"mxnet_version": ["int", _MXNET_VERSION]},
        }
        return mx.sym.load_json(json.dumps(content))


def trace(net: mx.gluon.HybridBlock, portable: bool) -> Graph:
    """Return the graph of an initialised net of one input and one output.

    Parameters
    ----------
    net : HybridBlock
    portable : bool
        Build it of MXNet's own operators only.
    """
    data = mx.sym.var(INPUT)
    if portable:
        with portable_operators():
            symbol = net(data)
    else:
        symbol = net(data)
    if not isinstance(symbol, mx.sym.Symbol) or len(symbol.list_outputs()) != 1:
        raise ValueError(f"{net.name} has several outputs; a net to export has one")
    content = json.loads(symbol.tojson())
    nodes: list[Node] = []
    names = {value["name"] for value in content["nodes"] if value["op"] == "null"}
    for value in content["nodes"]:
        inputs = [nodes[i] for i, *_ in value["inputs"]]
        name = value["name"]
        if value["op"] != "null":
            # Gluon's Dense and the Activation behind it, under one prefix, have one name.
            copies = (f"{name}_{i}" for i in itertools.count(1))
            name = next(choice for choice in itertools.chain([name], copies) if choice not in names)
            names.add(name)
        nodes.append(Node(value["op"], name, value.get("attrs", {}), inputs))
    parameters = net.collect_params()
    arrays = {name: parameters[name].data() for name in symbol.list_inputs() if name != INPUT}
    return Graph(nodes[content["heads"][0][0]], arrays)


def for_inference(graph: Graph) -> Graph:
    """Leave out what only training needs, and make a constant of every slope that a layer shares.

    Scores stay the same but for the rounding of another kernel: dropout and `identity` pass their
    input on, and `LeakyReLU` with one learned slope is one with that slope as its setting, which
    every runtime computes without reading a tensor. The graph is changed in place and returned.
    """
    for node in graph.nodes():
        node.inputs = [_passed_on(before) for before in node.inputs]
        if node.attrs.pop("weight_twice", "False") == "True":
            node.inputs.pop()  # the weight again, for its gradient
        if node.op in _FIRST_VECTOR:
            for i in range(_FIRST_VECTOR[node.op], len(node.inputs)):
                if node.inputs[i].op == "expand_dims":
                    node.inputs[i] = node.inputs[i].inputs[0]
        if node.op == "LeakyReLU" and node.attrs.get("act_type") == "prelu":
            slope = node.inputs[1]
            if slope.op == "null" and graph.arrays[slope.name].size == 1:
                value = float(graph.arrays[slope.name].asscalar())
                node.attrs = {"act_type": "leaky", "slope": repr(value)}
                node.inputs = node.inputs[:1]
    graph.output = _passed_on(graph.output)
    used = {node.name for node in graph.nodes()}
    graph.arrays = {name: array for name, array in graph.arrays.items() if name in used}
    return graph


def require_float32(graph: Graph) -> None:
    """Raise ValueError if a parameter is of another type."""
    for name, array in graph.arrays.items():
        if np.dtype(array.dtype) != np.float32:
            kind = np.dtype(array.dtype).name
            raise ValueError(f"{name} is {kind}; cast the net to float32 before exporting it")


def _passed_on(node: Node) -> Node:
    """Return the node whose values this one has in inference."""
    while node.op == "_copy" or (node.op == "Dropout" and node.attrs.get("mode") != "always"):
        node = node.inputs[0]
    return node


def with_half_weights(graph: Graph) -> Graph:
    """Keep weights in float16 and cast them to float32 in the graph, which computes as before.

    Biases and slopes, which are one-dimensional, stay float32: they are small, and every output of
    a channel hangs on each of them. The graph is changed in place and returned.

    Raises
    ------
    ValueError
        If a weight is too large for float16, or a parameter not float32.
    """
    require_float32(graph)
    casts: dict[int, Node] = {}
    for node in graph.nodes():
        if node.op != "null" or node.name == INPUT or graph.arrays[node.name].ndim < 2:
            continue
        half = graph.arrays[node.name].astype("float16")
        if not mx.nd.contrib.isfinite(half).min().asscalar():
            raise ValueError(f"{node.name} has values too large for float16; keep it in float32")
        graph.arrays[node.name] = half
        node.attrs = {**node.attrs, "__dtype__": _FLOAT16}
        casts[id(node)] = Node("Cast", f"{node.name}_float32", {"dtype": "float32"}, [node])
    for node in graph.nodes():
        node.inputs = [casts.get(id(before), before) for before in node.inputs]
    return graph
