"""Graphs as ONNX models."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from ..version import __version__
from .form import Entry, Graph, Node
from .passes import simplify
from .symbols import infer_shapes

if TYPE_CHECKING:
    import onnx

# The newest that every runtime knows for which Python 3.8 has a wheel.
OPSET, IR_VERSION = 21, 10


def import_onnx():
    """Return the package onnx, which only these exports need."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "exporting as ONNX needs the package onnx: pip install 'deeprect_gluon[onnx]'"
        ) from error
    return onnx


class Writer:
    """The nodes and parameters of an ONNX model in the making.

    Tensors are named by texts. The functions of `onnx_operators` write a node's work by `add` and
    return the names of its outputs.

    Parameters
    ----------
    graph : Graph
    shapes : mapping of str to tuple of int
        Of the inputs without the batch, which stays free.
    outputs : sequence of str
        Names that only the model's outputs may have.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The parameters of the model so far.
    nodes : list of onnx.NodeProto
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, tuple[int, ...]], outputs: Sequence[str]):
        self._onnx = import_onnx()
        self._graph = graph
        # The axes of an output that depend on the batch are those that differ.
        self._shapes = infer_shapes(graph, {name: (2, *shape) for name, shape in shapes.items()})
        self._others = infer_shapes(graph, {name: (3, *shape) for name, shape in shapes.items()})
        self._tensors: dict[Entry, str] = {}
        self._heads: set[str] = set()
        self._names = collections.Counter(outputs)
        self.arrays: dict[str, np.ndarray] = {}
        self.nodes: list[onnx.NodeProto] = []

    def add(self, kind: str, node: Node, inputs: Sequence[str], outputs: int = 1, **attrs) -> Any:
        """Add an ONNX node for a node of the graph; return the name of its output.

        With several outputs, return a list of names.
        """
        names = [self._free(f"{node.name}_{kind.lower()}") for _ in range(outputs)]
        attrs = {key: value for key, value in attrs.items() if value is not None}
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, names, names[0], **attrs))
        return names[0] if outputs == 1 else names

    def constant(self, node: Node, value: Any, dtype: type = np.float32) -> str:
        """Add a constant for a node; return its name."""
        name = self._free(f"{node.name}_constant")
        self.arrays[name] = np.ascontiguousarray(value, dtype)
        return name

    def inputs(self, node: Node, most: int | None = None) -> list[str]:
        """Return the names of a node's inputs, or of the first of them."""
        return [self.tensor(entry) for entry in node.inputs[:most]]

    def value(self, node: Node, i: int) -> np.ndarray:
        """Return the value of an input that must be a parameter.

        Raises
        ------
        ValueError
            If it is none.
        """
        array = self._graph.value(node.inputs[i])
        if array is None:
            raise ValueError(
                f"{node.name} ({node.op}) computes its input {i + 1}; only a parameter is "
                "translated to ONNX"
            )
        return array

    def shape(self, entry: Entry) -> tuple[int, ...]:
        """Return the shape of an output for a batch of 2."""
        return self._shapes[entry]

    def free_shape(self, entry: Entry, name: str) -> list[int]:
        """Return the shape of an output with -1 for the axis that depends on the batch.

        Raises
        ------
        ValueError
            If several axes depend on it; the message names the node.
        """
        pairs = list(zip(self._shapes[entry], self._others[entry]))
        shape = [a if a == b else -1 for a, b in pairs]
        if shape.count(-1) > 1:
            raise ValueError(f"several axes of {name} depend on the number of images")
        return shape

    def set_outputs(self, node: Node, names: Sequence[str]) -> None:
        """Say which tensors are the outputs of a node."""
        self._tensors.update({Entry(node, i): name for i, name in enumerate(names)})

    def head(self, entry: Entry, name: str) -> onnx.ValueInfoProto:
        """Make an output of the model of an output of a node."""
        tensor = self.tensor(entry)
        computed = any(tensor in node.output for node in self.nodes)
        if computed and tensor not in self._heads:
            for node in self.nodes:
                for names in (node.input, node.output):
                    names[:] = [name if other == tensor else other for other in names]
            self._tensors[entry] = name
        else:
            self.nodes.append(self._onnx.helper.make_node("Identity", [tensor], [name], name))
        self._heads.add(name)
        return self._info(name, entry)

    def input(self, node: Node) -> onnx.ValueInfoProto:
        """Make an input of the model of a variable."""
        self.set_outputs(node, [node.name])
        self._names[node.name] += 1
        return self._info(node.name, Entry(node))

    def _info(self, name: str, entry: Entry) -> onnx.ValueInfoProto:
        shape = ["N" if size == -1 else size for size in self.free_shape(entry, name)]
        kind = self._onnx.TensorProto.FLOAT
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    def tensor(self, entry: Entry) -> str:
        """Return the name of an output of a node; a parameter becomes one of the model."""
        if entry not in self._tensors:
            name = self._free(entry.node.name)
            self.arrays[name] = np.ascontiguousarray(self._graph.arrays[entry.node.name])
            self._tensors[entry] = name
        return self._tensors[entry]

    def _free(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else self._free(f"{name}_{self._names[name] - 1}")


def to_onnx(
    graph: Graph, shapes: Mapping[str, tuple[int, ...]], outputs: Sequence[str]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Return a graph for inference as an ONNX model whose batch is free.

    Parameters
    ----------
    graph : Graph
        Of float32 but for weights behind a cast.
    shapes : mapping of str to tuple of int
        Of its inputs without the batch.
    outputs : sequence of str
        Names for its outputs.

    Returns
    -------
    model : onnx.ModelProto
        Its initializers have names, types and shapes, and no values.
    arrays : dict of str to ndarray
        The values by name.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If an operator, or an argument of it, is not translated; the message names the node.
    """
    from .onnx_operators import translate

    helper = import_onnx().helper
    graph = simplify(graph)
    writer = Writer(graph, shapes, outputs)
    inputs = []
    for node in graph.nodes():
        if node.op != "null":
            writer.set_outputs(node, translate(writer, node))
        elif node.name not in graph.arrays:
            inputs.append(writer.input(node))
    heads = [writer.head(entry, name) for entry, name in zip(graph.heads, outputs)]
    initializers = [
        import_onnx().TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
        )
        for name, array in writer.arrays.items()
    ]
    model = helper.make_model(
        helper.make_graph(writer.nodes, "net", inputs, heads, initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="deeprect_gluon",
        producer_version=__version__,
    )
    return model, writer.arrays
