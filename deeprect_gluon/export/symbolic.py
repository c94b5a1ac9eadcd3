"""Export as MXNet's symbol and parameters, to be run without the code that built the net."""

from __future__ import annotations

from pathlib import Path

import mxnet as mx

from ..files import write_text_atomically
from ..models.weights import write_params
from .graph import for_inference, trace, with_half_weights
from .sidecar import write_sidecar


def require_folder(path: Path) -> None:
    """Raise FileNotFoundError unless the folder to export into exists."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to export into; make it first")


def export(
    net: mx.gluon.HybridBlock,
    path: Path | str,
    portable: bool = False,
    inference: bool = False,
    half: bool = False,
    input_shape: tuple[int, ...] | None = None,
) -> tuple[Path, Path]:
    """Write `PATH-symbol.json` and `PATH-0000.params`, as `HybridBlock.export` names them.

    Beside them comes `PATH.json`, which tells what they are and what the net knows of its images
    and classes (`read_sidecar`). Give every export a path of its own.

    Parameters
    ----------
    net : HybridBlock
        Initialised, with its parameters' shapes known. It takes one input, named `data`.
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

    Returns
    -------
    symbol, params : Path

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        With `half`, if a weight is too large for float16 or a parameter not float32.
    """
    path = Path(path)
    require_folder(path)
    graph = trace(net, portable)
    if inference:
        graph = for_inference(graph)
    if half:
        graph = with_half_weights(graph)
    arrays = {f"arg:{name}": array for name, array in graph.arrays.items()}
    files = Path(f"{path}-symbol.json"), Path(f"{path}-0000.params")
    # Not by Symbol.save, which reports no error if the disk is full when it closes the file.
    write_text_atomically(files[0], graph.symbol().tojson())
    write_params(files[1], arrays)
    form = "portable" if portable else "operator"
    write_sidecar(net, path, files, form, "float16" if half else "float32", input_shape)
    return files
