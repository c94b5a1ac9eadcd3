"""MXNet's symbols from graphs, composed by MXNet itself, which checks them as it goes."""

from __future__ import annotations

import ctypes
import warnings
from typing import Mapping, Sequence

import mxnet as mx
import numpy as np
from mxnet.base import _LIB, c_str
from mxnet.ndarray.ndarray import _DTYPE_NP_TO_MX
from mxnet.symbol._internal import _symbol_creator

from ..errors import require
from ..initializer.parameters import set_first_value
from .form import Entry, Graph


class InferenceBlock(mx.gluon.SymbolBlock):
    """A block of a graph, whose parameters take no gradients."""

    def forward(self, x, *args):
        for tensor in (x, *args):
            require("an input", tensor, mx.nd.NDArray, mx.sym.Symbol)
            if isinstance(tensor, mx.nd.NDArray) and not (tensor.shape and all(tensor.shape)):
                # MXNet takes such shapes for unknown, and ends the process.
                raise ValueError(f"an input has shape {tensor.shape}; give a batch of images")
        return super().forward(x, *args)

    def outputs(self, *inputs: mx.nd.NDArray) -> list[np.ndarray]:
        """Return all outputs, also if there is one."""
        found = self(*inputs)
        return [y.asnumpy() for y in (found if isinstance(found, list) else [found])]


def variable(name: str, hints: Mapping[str, str]) -> mx.sym.Symbol:
    """Return a variable with attributes such as `__lr_mult__`."""
    symbol = mx.sym.var(name)
    symbol._set_attr(**hints)
    return symbol


def call(
    op: str, name: str, attrs: Mapping[str, str], inputs: Sequence[mx.sym.Symbol]
) -> mx.sym.Symbol:
    """Return the symbol of an operator's call.

    MXNet's reader of symbols believes a file's indices and numbers of inputs, and a wrong one ends
    the process. Here MXNet checks them.

    Parameters
    ----------
    op, name : str
        Of the operator and of the call.
    attrs : mapping of str to str
        The operator's arguments and further attributes such as `__ctx_group__`.
    inputs : sequence of Symbol
        Of one output each. MXNet makes variables of those that are missing at the end.

    Raises
    ------
    MXNetError
        If there is no such operator, or if it does not take these arguments or so many inputs.
    """
    handle = ctypes.c_void_p()
    mx.base.check_call(_LIB.NNGetOpHandle(c_str(op), ctypes.byref(handle)))
    return _symbol_creator(handle.value, inputs, {}, list(attrs), list(attrs.values()), name, False)


def count_inputs(symbol: mx.sym.Symbol) -> int:
    """Return the number of inputs of a call."""
    children = symbol.get_children()
    return 0 if children is None else len(children)


def to_symbol(graph: Graph) -> mx.sym.Symbol:
    """Return a graph as MXNet's symbol; variables of parameters know their shapes and types."""
    symbols = _compose(graph)
    heads = [symbols[id(head.node)][head.output] for head in graph.heads]
    return heads[0] if len(heads) == 1 else mx.sym.Group(heads)


def to_block(
    graph: Graph, ctx: mx.Context | None = None, backend: str | None = None
) -> InferenceBlock:
    """Return a graph as a hybridized Gluon block for inference.

    Parameters
    ----------
    graph : Graph
    ctx : Context, optional
        Where the block computes; by default the current context.
    backend : str, optional
        A pass of MXNet's own over the graph, such as "MKLDNN".
    """
    symbol = to_symbol(graph)
    if backend:
        symbol = symbol.optimize_for(backend)
    with warnings.catch_warnings():
        # SymbolBlock asks for types before it has parameters; they are given below.
        warnings.filterwarnings("ignore", "Cannot decide type", UserWarning)
        inputs = [mx.sym.var(name) for name in graph.inputs()]
        block = InferenceBlock(symbol, inputs)
    parameters = block.collect_params()
    parameters.setattr("grad_req", "null")
    for name, array in graph.arrays.items():
        parameters[name].cast(array.dtype.name)
        # A copy, since MXNet's kernels want aligned memory of their own.
        values = np.array(array, order="C")
        set_first_value(parameters[name], values, ctx or mx.current_context())
    block.hybridize(static_alloc=True, static_shape=True)
    return block


def infer_shapes(
    graph: Graph, shapes: Mapping[str, tuple[int, ...]]
) -> dict[Entry, tuple[int, ...]]:
    """Return the shape of every output of every node.

    Parameters
    ----------
    graph : Graph
    shapes : mapping of str to tuple of int
        Of its inputs.

    Raises
    ------
    ValueError
        If the shapes do not fit the graph.
    """
    symbols = _compose(graph)
    order = graph.nodes()
    entries = [Entry(node, i) for node in order for i in range(len(symbols[id(node)]))]
    everything = mx.sym.Group([symbols[id(node)] for node in order])
    try:
        _, found, _ = everything.infer_shape(**shapes)
    except mx.MXNetError as error:
        raise ValueError(f"inputs of {shapes} do not fit the net: {last_line(error)}") from error
    if found is None:
        raise ValueError(f"inputs of {shapes} do not say the shapes of all nodes")
    return dict(zip(entries, found))


def named_arrays(graph: Graph, symbol: mx.sym.Symbol) -> dict[str, np.ndarray]:
    """Return the arrays of a graph by their names in a file of parameters.

    These begin with "aux:" for what an operator changes in training, and with "arg:" for others.
    """
    states = set(symbol.list_auxiliary_states())
    return {
        f"{'aux' if name in states else 'arg'}:{name}": array
        for name, array in graph.arrays.items()
    }


def last_line(error: Exception) -> str:
    """Return what went wrong, of an error that a library tells with its call stack before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _compose(graph: Graph) -> dict[int, mx.sym.Symbol]:
    """Return the symbols of all nodes by the nodes' ids."""
    symbols: dict[int, mx.sym.Symbol] = {}
    for node in graph.nodes():
        if node.op == "null":
            hints = dict(node.hints)
            array = graph.arrays.get(node.name)
            if array is not None:
                hints["__shape__"] = str(array.shape)
                hints["__dtype__"] = str(_DTYPE_NP_TO_MX[array.dtype.type])
            symbols[id(node)] = variable(node.name, hints)
        else:
            attrs = {key: str(value) for key, value in node.attrs.items()}
            inputs = [symbols[id(entry.node)][entry.output] for entry in node.inputs]
            symbols[id(node)] = call(node.op, node.name, {**attrs, **node.hints}, inputs)
    return symbols
