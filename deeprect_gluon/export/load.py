"""Loading exports that may come from a stranger: everything is checked before it is used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable

import mxnet as mx
import numpy as np

from ..errors import require
from ..graph import Graph, from_symbol, infer_shapes, read_arrays, read_symbol, to_block, to_symbol
from ..graph.symbols import last_line
from .onnx import INPUT
from .onnx_check import check_onnx
from .operators import OPERATORS, Work, check_arguments
from .sidecar import Sidecar, read_sidecar, verify_files

# Values of all arrays for one image; model C at 224 pixels makes a tenth of it.
MOST_VALUES = 1 << 28
Run = Callable[[np.ndarray], "list[np.ndarray]"]


class Exported:
    """A loaded export: `scores = exported(x)`.

    Attributes
    ----------
    sidecar : Sidecar
    """

    def __init__(self, sidecar: Sidecar, run: Run):
        self.sidecar = sidecar
        self._run = run

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the scores (N, classes) of inputs (N, channels, height, width), float32.

        Raises
        ------
        ValueError
            If the inputs have another shape, or the net has several outputs.
        """
        outputs = self.outputs(x)
        if len(outputs) > 1:
            raise ValueError(f"the net has {len(outputs)} outputs; use outputs()")
        return outputs[0]

    def outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """Return all outputs for inputs (N, channels, height, width), float32.

        Raises
        ------
        ValueError
            If the inputs have another shape, or the runtime fails.
        """
        x = np.ascontiguousarray(x, np.float32)
        shape = self.sidecar.input_shape or ()
        if x.shape[1:] != shape or not len(x):
            raise ValueError(
                f"inputs have shape {x.shape}; the net takes batches of shape "
                f"(N, {', '.join(map(str, shape))})"
            )
        try:
            return self._run(x)
        # MXNet and ONNX Runtime have no error in common.
        except Exception as error:
            raise ValueError(f"the net does not run: {last_line(error)}") from error


def load_export(path: Path | str) -> Exported:
    """Load an export: in MXNet or, where it is ONNX, in ONNX Runtime; on the CPU.

    The sidecar is checked against its schema and the files against its digests before anything
    parses them. The digests tell damage; against malice, which would have right ones, a graph may
    hold only the operators that exports have, parameters must have the shapes that it asks for, and
    no name leads out of the export's folder.

    Parameters
    ----------
    path : Path or str
        As given to `export` or `export_onnx`.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged or is not what an export has.
    ImportError
        If the export is ONNX and onnx or onnxruntime is not installed.
    """
    require("path", path, str, Path)
    sidecar = read_sidecar(path)
    shape = sidecar.input_shape
    if shape is None:
        raise ValueError(
            f"the sidecar of {path} has no input_shape; give input_shape when exporting"
        )
    if math.prod(shape) > MOST_VALUES:
        raise ValueError(f"the sidecar of {path} asks for inputs of {shape}")
    files = verify_files(sidecar, path)
    if sidecar.form == "onnx":
        exported = Exported(sidecar, _onnx_session(files, shape))
    else:
        exported = Exported(sidecar, _block(_read(files), shape, files[0]))
    _try(exported, shape, files[0])
    return exported


def _try(exported: Exported, shape: tuple[int, ...], path: Path) -> None:
    """Run an export once: runtimes find some faults only then."""
    classes = exported.sidecar.classes
    try:
        outputs = exported.outputs(np.zeros((1, *shape), np.float32))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    shapes = [output.shape for output in outputs]
    if classes and shapes != [(1, len(classes))]:
        raise ValueError(f"{path} gives scores of shape {shapes} for {len(classes)} classes")


def _onnx_session(files: list[Path], shape: tuple[int, ...]) -> Run:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "running ONNX needs onnxruntime: pip install 'deeprect_gluon[onnx]'"
        ) from error
    check_onnx(files, shape, MOST_VALUES)
    try:
        session = onnxruntime.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
    # ONNX Runtime has a class for each of its states, and no common one but this.
    except Exception as error:
        raise ValueError(f"ONNX Runtime refuses {files[0]}: {last_line(error)}") from error
    return lambda x: session.run(None, {INPUT: x})


def _read(files: list[Path]) -> Graph:
    """Read a symbol and its parameters, and check operators and arguments."""
    symbol, arrays = read_symbol(files[0], OPERATORS), read_arrays(files[1])
    names = symbol.list_inputs()
    if sorted(names) != sorted([INPUT, *arrays]):
        different = sorted({INPUT, *arrays} ^ set(names))
        raise ValueError(f"{files[0]} and its parameters do not both have {', '.join(different)}")
    try:
        graph = from_symbol(symbol, arrays)
        for node in graph.calls():
            check_arguments(node)
    except ValueError as error:
        raise ValueError(f"{files[0]} is no symbol of an exported net: {error}") from error
    return graph


def _block(graph: Graph, shape: tuple[int, ...], path: Path) -> Run:
    symbol = to_symbol(graph)
    types = {name: array.dtype for name, array in graph.arrays.items()}
    try:
        symbol.infer_type(**{INPUT: np.float32}, **types)
        shapes = infer_shapes(graph, {INPUT: (1, *shape)})
    except (mx.MXNetError, ValueError) as error:
        raise ValueError(f"the parameters do not fit {path}: {last_line(error)}") from error
    work = Work(MOST_VALUES)
    try:
        for entry, made in shapes.items():
            if entry.node.op != "null":
                inputs = [shapes[before] for before in entry.node.inputs]
                kernel = entry.node.attrs.get("kernel", ())
                work.add(entry.node.name, math.prod(made), inputs, kernel)
    except ValueError as error:
        raise ValueError(f"{path} asks for too much: {error}") from error
    block = to_block(graph, mx.cpu())
    return lambda x: block.outputs(mx.nd.array(x))
