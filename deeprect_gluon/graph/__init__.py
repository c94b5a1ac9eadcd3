"""The graph on which export, acceleration and ONNX are built: form, readers, passes, writers."""

from .form import Entry, Graph, Node
from .read import from_net, from_symbol, load, read_arrays, read_symbol
from .symbols import InferenceBlock, infer_shapes, named_arrays, to_block, to_symbol

__all__ = [
    "Entry",
    "Graph",
    "InferenceBlock",
    "Node",
    "from_net",
    "from_symbol",
    "infer_shapes",
    "load",
    "named_arrays",
    "read_arrays",
    "read_symbol",
    "to_block",
    "to_symbol",
]
