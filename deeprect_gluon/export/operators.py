"""The operators that exports may have."""

from __future__ import annotations

import math
from typing import Iterable, Sequence

from ..graph import Graph, Node
from ..graph.onnx_operators import TRANSLATED

# Those that are translated to ONNX, that inference leaves out, and that `accelerate` makes. MXNet
# has other operators that take addresses or names of code from their attributes.
OPERATORS = TRANSLATED | {
    *("_copy", "BlockGrad", "Dropout", "LinearRegressionOutput", "MakeLoss"),
    *("LogisticRegressionOutput", "SoftmaxOutput"),
    *("deeprect_depth_to_space", "deeprect_fused_conv"),
}
# Arguments that are sizes, and the least that they may be.
_LEAST = {
    **dict.fromkeys(("kernel", "stride", "dilate", "num_filter", "num_group", "num_hidden"), 1),
    **dict.fromkeys(("num_outputs", "num_args", "scale", "block_size", "nsize", "input_dim"), 1),
    **dict.fromkeys(("output_dim", "window"), 1),
    **dict.fromkeys(("pad", "adj", "pad_width"), 0),
}
_MOST = 1 << 24


# Multiply-adds for one image: a machine of two cores takes ten seconds. Model C takes 5e10.
MOST_WORK = 1 << 40


class Work:
    """Counts what a net computes for one image, so that a small file cannot ask for very much.

    Parameters
    ----------
    most_values : int
        Elements that all arrays may have together.
    """

    def __init__(self, most_values: int):
        self._most_values = most_values
        self._values = self._multiply_adds = 0

    def add(
        self, name: str, values: int, inputs: Sequence[Sequence[int]], kernel: Sequence[int]
    ) -> None:
        """Add an output of `values` elements of a node with inputs of these shapes.

        Raises
        ------
        ValueError
            If all outputs so far have too many elements, or take too many multiply-adds.
        """
        weight = inputs[1] if len(inputs) > 1 and len(inputs[1]) > 1 else ()
        # Each element takes a sum over the kernel, or over all but an axis of the weight.
        terms = max(math.prod(weight) // min(weight, default=1), math.prod(kernel))
        self._values += values
        self._multiply_adds += values * terms
        if self._values > self._most_values:
            raise ValueError(f"up to {name!r} it makes arrays of {self._values:,} values")
        if self._multiply_adds > MOST_WORK:
            raise ValueError(f"up to {name!r} it takes {self._multiply_adds:,} multiply-adds")


def require_loadable(graph: Graph) -> None:
    """Raise ValueError if `load_export` would refuse a graph's operators."""
    for node in graph.calls():
        if node.op not in OPERATORS:
            raise ValueError(
                f"{node.name} is of the operator {node.op}, which load_export does not run; "
                "use HybridBlock.export instead"
            )


def check_arguments(node: Node) -> None:
    """Raise ValueError if sizes among a node's arguments could not be a layer's."""
    for name, least in _LEAST.items():
        if name not in node.attrs:
            continue
        value = node.attrs[name]
        numbers: Iterable = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(n, int) and least <= n <= _MOST for n in numbers):
            raise ValueError(f"{node.name!r} ({node.op}) has {name}={value}")
