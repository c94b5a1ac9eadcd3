"""Export as ONNX.

MXNet's own exporter (`mxnet.onnx`) writes a PReLU's slopes as (C,), which ONNX aligns with the last
axis: runtimes refuse the model or, where a map is C wide, compute something else. It also needs a
module that onnx has lacked since 1.19.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Mapping

import mxnet as mx
import numpy as np

from ..errors import one_of, whole_numbers
from ..files import write_atomically
from ..graph import Graph
from ..graph.onnx import import_onnx, to_onnx
from ..graph.passes import constant_slopes, halve_weights, simplify
from .sidecar import input_shape as shape_of
from .sidecar import write_sidecar
from .symbolic import checked_path, graph_of

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "data", "scores"
# Protobuf, ONNX's file format, ends at 2 GiB; what is not weights takes much less than this rest.
INLINE_LIMIT = (2 << 30) - (16 << 20)
# Parameters of fewer bytes stay in the model's file, where graph optimisers see them.
SMALL = 1024
# Where external data begin: on a page, so that runtimes can map them.
_ALIGNMENT = 4096


def export_onnx(
    net: mx.gluon.HybridBlock | Graph,
    path: Path | str,
    input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None,
    half: bool = False,
    inline_limit: int = INLINE_LIMIT,
) -> tuple[Path, ...]:
    """Write `PATH.onnx` for inference, and `PATH.json` beside it (`read_sidecar`).

    The input is `data` (N, channels, height, width), the output `scores` (N, classes), both
    float32; N is free. Several outputs are `scores0`, `scores1` and so on.

    Parameters
    ----------
    net : HybridBlock or Graph
        A net whose parameters have values, or a graph (`deeprect_gluon.graph.load`), of the
        operators that `deeprect_gluon.graph.onnx_operators` translates.
    path : Path or str
        The files' common beginning; its folder must exist.
    input_shape : tuple of int, optional
        (channels, height, width); by default that of the net's configuration. A mapping gives
        the names and shapes of several inputs; `load_export` runs nets of one.
    half : bool
        Keep the weights in float16; the graph casts them to float32, once where the runtime folds
        constants.
    inline_limit : int
        Parameters of more bytes than this go into `PATH.onnx.data`.

    Returns
    -------
    tuple of Path
        The model and, if there is one, the file of its external data.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the input's shape is unknown, or the net has an operator that is not translated or
        parameters other than float32.
    """
    onnx = import_onnx()
    path = checked_path(path)
    one_of("half", half, False, True)
    shape = shape_of(net) if input_shape is None else input_shape
    if shape is None:
        raise ValueError("the net does not know its input's shape; give input_shape")
    shapes = shape if isinstance(shape, Mapping) else {INPUT: shape}
    shapes = {name: whole_numbers("input_shape", sizes, 1) for name, sizes in shapes.items()}
    graph = constant_slopes(simplify(graph_of(net, list(shapes), portable=True)))
    if half:
        graph = halve_weights(graph)
    several = len(graph.heads) > 1
    outputs = [f"{OUTPUT}{i}" if several else OUTPUT for i in range(len(graph.heads))]
    model, arrays = to_onnx(graph, shapes, outputs)
    target, data = Path(f"{path}.onnx"), Path(f"{path}.onnx.data")
    external = sum(array.nbytes for array in arrays.values()) > inline_limit
    if external:
        write_atomically(data, lambda temporary: _write_data(model, arrays, temporary, data.name))
    for tensor in model.graph.initializer:
        if not tensor.external_data:
            tensor.raw_data = arrays.pop(tensor.name).tobytes()

    def write(temporary: Path) -> None:
        onnx.save_model(model, str(temporary))
        onnx.checker.check_model(str(temporary), full_check=True)

    write_atomically(target, write)
    if not external:
        data.unlink(missing_ok=True)  # of an export before this one
    files = (target, data) if external else (target,)
    image = None if isinstance(shape, Mapping) else shapes[INPUT]
    write_sidecar(net, path, files, "onnx", "float16" if half else "float32", image)
    return files


def _write_data(
    model: onnx.ModelProto, arrays: dict[str, np.ndarray], path: Path, name: str
) -> None:
    """Write the larger parameters to a file, and in the model, where they are in it."""
    onnx = import_onnx()
    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            array = arrays[tensor.name]
            if array.nbytes < SMALL:
                continue
            file.seek(math.ceil(file.tell() / _ALIGNMENT) * _ALIGNMENT)
            entry = {"location": name, "offset": file.tell(), "length": array.nbytes}
            for key, value in entry.items():
                tensor.external_data.add(key=key, value=str(value))
            tensor.data_location = onnx.TensorProto.EXTERNAL
            file.write(array.data)
