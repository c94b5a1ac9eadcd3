"""Export of a net as symbol and parameters, to be run without the code that built it."""

from __future__ import annotations

from pathlib import Path

import mxnet as mx

from .files import write_atomically
from .operators import portable_operators


def export(
    net: mx.gluon.HybridBlock, path: Path | str, portable: bool = False
) -> tuple[Path, Path]:
    """Write `PATH-symbol.json` and `PATH-0000.params`, as `HybridBlock.export` names them.

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

    Returns
    -------
    symbol, params : Path

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to export into; make it first")
    data = mx.sym.var("data")
    if portable:
        with portable_operators():
            symbol = net(data)
    else:
        symbol = net(data)
    parameters = net.collect_params()
    arrays = {f"arg:{name}": parameters[name].data() for name in symbol.list_inputs()[1:]}
    files = Path(f"{path}-symbol.json"), Path(f"{path}-0000.params")
    write_atomically(files[0], lambda temporary: symbol.save(str(temporary)))
    write_atomically(files[1], lambda temporary: mx.nd.save(str(temporary), arrays))
    return files
