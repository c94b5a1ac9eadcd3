"""Export as MXNet's symbol and parameters, to be run without the code that built the net."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import mxnet as mx
import numpy as np

from ..errors import one_of, require, texts, whole_numbers
from ..files import write_text_atomically
from ..graph import Graph, from_net, named_arrays, to_symbol
from ..graph.passes import constant_slopes, halve_weights, simplify
from ..models.weights import write_params
from .operators import require_loadable
from .sidecar import write_sidecar


def checked_path(path: Path | str) -> Path:
    """Return where to export to; raise FileNotFoundError unless its folder exists."""
    require("path", path, str, Path)
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to export into; make it first")
    return path


def graph_of(net: mx.gluon.HybridBlock | Graph, inputs: Sequence[str], portable: bool) -> Graph:
    """Return the graph of a net to export.

    Raises
    ------
    ValueError
        If a parameter has no value, or is not float32.
    """
    require("net", net, mx.gluon.HybridBlock, Graph)
    graph = net if isinstance(net, Graph) else from_net(net, inputs, portable)
    for name, array in graph.arrays.items():
        if array.dtype != np.float32:
            raise ValueError(
                f"{name} is {array.dtype}; cast the net to float32 before exporting it"
            )
    return graph


def export(
    net: mx.gluon.HybridBlock | Graph,
    path: Path | str,
    portable: bool = False,
    inference: bool = False,
    half: bool = False,
    input_shape: tuple[int, ...] | None = None,
    inputs: Sequence[str] = ("data",),
) -> tuple[Path, Path]:
    """Write `PATH-symbol.json` and `PATH-0000.params`, as `HybridBlock.export` names them.

    Beside them comes `PATH.json`, which tells what they are and what the net knows of its images
    and classes (`read_sidecar`). Give every export a path of its own.

    Parameters
    ----------
    net : HybridBlock or Graph
        A net whose parameters have values, or a graph (`deeprect_gluon.graph.load`).
    path : Path or str
        The files' common beginning; its folder must exist.
    portable : bool
        Use MXNet's own operators only, so that a plain MXNet loads the net with
        `SymbolBlock.imports`; otherwise `import deeprect_gluon` must come first. The built-in PReLU
        is right forward; do not train through it (README).
    inference : bool
        Leave out what only training needs, and make constants of the slopes that layers share
        (portable form); scores stay within 1e-6 of the largest. Such an export cannot be trained.
    half : bool
        Keep the weights in float16; the graph casts them to float32 whenever it runs.
    input_shape : tuple of int, optional
        (channels, height, width), for the sidecar; by default that of the net's configuration.
    inputs : sequence of str
        Names for the net's inputs. `load_export` runs nets of one input.

    Returns
    -------
    symbol, params : Path

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the net cannot be traced, has a parameter without a value or of another type than
        float32, or an operator that `load_export` does not run; or, with `half`, if a weight is too
        large for float16.
    """
    path = checked_path(path)
    for name, flag in (("portable", portable), ("inference", inference), ("half", half)):
        one_of(name, flag, False, True)
    if input_shape is not None:
        input_shape = whole_numbers("input_shape", input_shape, 1)
    graph = graph_of(net, texts("inputs", inputs), portable)
    require_loadable(graph)
    if inference:
        graph = constant_slopes(simplify(graph))
    if half:
        graph = halve_weights(graph)
    symbol = to_symbol(graph)
    files = Path(f"{path}-symbol.json"), Path(f"{path}-0000.params")
    # Not by Symbol.save, which reports no error if the disk is full when it closes the file.
    write_text_atomically(files[0], symbol.tojson())
    write_params(files[1], named_arrays(graph, symbol))
    form = "portable" if portable else "operator"
    write_sidecar(net, path, files, form, "float16" if half else "float32", input_shape)
    return files
