"""Faster inference of any MXNet model with rectifiers."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import NamedTuple, Sequence

import mxnet as mx
import numpy as np

from . import native
from .errors import require, texts, whole
from .graph import Graph, InferenceBlock, from_net, load, to_block
from .graph.passes import fold_affine, fold_constants, fuse, replace_prelu, simplify, why_not

# The layers that the passes are made for.
_LAYERS = ("Convolution", "Deconvolution", "FullyConnected")


class Layer(NamedTuple):
    """What became of layers: which operator does their work, or why MXNet's still does."""

    layers: tuple[str, ...]
    operator: str
    why: str


def accelerate(
    net: mx.gluon.HybridBlock | Path | str,
    epoch: int = 0,
    inputs: Sequence[str] = ("data",),
    ctx: mx.Context | None = None,
) -> InferenceBlock:
    """Return a net for inference that computes the same faster.

    Dropout goes, batch normalisation goes into the weights, and this package's operators compute
    the layers that they are faster for. The net itself is unchanged.

    Parameters
    ----------
    net : HybridBlock, Path or str
        A net whose parameters have values, or the common beginning of `-symbol.json` and
        `-0000.params` as any MXNet since 0.8 wrote them. Parameters are float32.
    epoch : int
        The number in the parameters' name.
    inputs : sequence of str
        Names of the net's inputs.
    ctx : Context, optional
        Where the net runs; by default the current context. On a GPU, and on a CPU without AVX2,
        only rectifiers with slopes are replaced.

    Returns
    -------
    InferenceBlock
        A SymbolBlock; outputs are within 1e-5 of the largest (5e-5 with kernels of 2).

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, or a parameter is missing or surplus; or if the net has control flow.
        The message names the node.
    """
    require("net", net, mx.gluon.HybridBlock, str, Path)
    require("ctx", ctx, mx.Context, type(None))
    inputs, ctx = texts("inputs", inputs), ctx or mx.current_context()
    if isinstance(net, (str, Path)):
        graph = load(net, whole("epoch", epoch, 0), inputs)
    else:
        graph = from_net(net, inputs)
    return to_fast_block(accelerated(graph, ctx), ctx)


def to_fast_block(graph: Graph, ctx: mx.Context) -> InferenceBlock:
    """Return the block of a graph that `accelerated` made."""
    return to_block(graph, ctx, _backend(graph, ctx))


def accelerated(graph: Graph, ctx: mx.Context) -> Graph:
    """Return the graph that computes the same faster, as `accelerate` does."""
    graph = fold_affine(fold_constants(simplify(graph)))
    # Without AVX2 oneDNN's kernels are faster than ours.
    ours = ctx.device_type != "gpu" and native.isa() != "baseline"
    return fuse(graph) if ours else replace_prelu(graph)


def explain(before: Graph, after: Graph) -> list[Layer]:
    """Return what became of the layers of a graph, in the order of computation.

    Parameters
    ----------
    before, after : Graph
        A graph, and what `accelerated` made of it.
    """
    found = []
    for node in after.calls():
        why = (why_not(after, node) or "") if node.op in _LAYERS else ""
        found.append(Layer(node.layers, node.op, why))
    done = {name for layer in found for name in layer.layers}
    gone = [Layer(node.layers, "none", "") for node in before.calls() if node.name not in done]
    return found + gone


def _backend(graph: Graph, ctx: mx.Context) -> str | None:
    """Return the pass of MXNet's own that fuses what is left to MXNet's layers, if it is right.

    It is wrong, without a word, where the output of a layer is a head or is used twice: it lets all
    users have what the rectifier or the batch normalisation behind the layer made of it. It also
    takes layers of other types than float32, and then fails.
    """
    uses = collections.Counter(entry.node for node in graph.nodes() for entry in node.inputs)
    uses.update(head.node for head in graph.heads)
    layers = [node for node in graph.calls() if node.op in _LAYERS]
    right = all(uses[node] == 1 for node in layers) and not any(
        node.op == "BatchNorm" and node.inputs[0].node in layers for node in graph.calls()
    )
    float32 = all(array.dtype == np.float32 for array in graph.arrays.values()) and not any(
        node.op == "Cast" for node in graph.calls()
    )
    return "MKLDNN" if right and float32 and ctx.device_type == "cpu" else None
