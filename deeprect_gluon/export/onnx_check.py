"""Checks of an ONNX file before a runtime gets it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from .graph import INPUT
from .onnx_graph import import_onnx

if TYPE_CHECKING:
    import onnx

# What `export_onnx` and `export_int8` write, all of ONNX's own domain.
OPERATORS = frozenset(
    (
        *("Cast", "Concat", "Conv", "DequantizeLinear", "Flatten", "Gemm", "LeakyRelu", "MaxPool"),
        *("PRelu", "QuantizeLinear", "Relu", "Transpose"),
    )
)


def check_onnx(files: list[Path], input_shape: tuple[int, ...], most_values: int) -> None:
    """Raise ValueError unless an ONNX model is one that this package could have exported.

    Parameters
    ----------
    files : list of Path
        The model and, if it may have such, its external data; they lie in one folder.
    input_shape : tuple of int
        (channels, height, width) of its one input.
    most_values : int
        No value computed for one image may have more elements.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If the file is damaged, has other operators, keeps data in other files, or makes larger
        arrays.
    """
    onnx = import_onnx()
    path, *external = files
    try:
        model = onnx.load_model(str(path), load_external_data=False)
        _check_graph(model)
        for tensor in model.graph.initializer:
            _check_external(onnx, tensor, external)
        onnx.checker.check_model(str(path))
        _check_sizes(onnx, model, input_shape, most_values)
    # Protobuf's DecodeError and ONNX's errors have no class in common with each other.
    except Exception as error:
        raise ValueError(f"{path} is no ONNX export: {last_line(error)}") from error


def last_line(error: Exception) -> str:
    """Return what went wrong, of an error that a library tells with its call stack before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _check_graph(model: onnx.ModelProto) -> None:
    graph = model.graph
    if [value.name for value in graph.input] != [INPUT] or len(graph.output) != 1:
        raise ValueError(f"it must have the input {INPUT!r} and one output")
    if model.functions or graph.sparse_initializer:
        raise ValueError("it has functions or sparse parameters")
    for node in graph.node:
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            raise ValueError(
                f"{node.name!r} is of the operator {node.op_type!r}, which no export has"
            )
        # A tensor or a graph in an attribute could name further files.
        if any(a.HasField("t") or a.HasField("g") or a.tensors or a.graphs for a in node.attribute):
            raise ValueError(f"{node.name!r} has a tensor or a graph in its attributes")
        if any(value < 0 for a in node.attribute for value in a.ints):
            raise ValueError(f"{node.name!r} has a negative extent")


def _check_external(onnx, tensor: onnx.TensorProto, files: list[Path]) -> None:
    """Raise ValueError if a tensor's data lie in a file that is not the export's, or beyond it."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        if tensor.external_data:
            raise ValueError(f"{tensor.name!r} has its data both here and elsewhere")
        return
    where = {entry.key: entry.value for entry in tensor.external_data}
    if where.get("location") not in [file.name for file in files]:
        raise ValueError(
            f"{tensor.name!r} has its data in {where.get('location')!r}, "
            "which is no file of the export"
        )
    offset, length = int(where.get("offset", 0)), int(where["length"])
    if min(offset, length) < 0 or offset + length > files[0].stat().st_size:
        raise ValueError(f"{tensor.name!r} ends beyond {files[0].name}")
    bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if length * 8 != bits * math.prod(tensor.dims):
        raise ValueError(f"{tensor.name!r} of shape {list(tensor.dims)} has {length} bytes")


def _check_sizes(onnx, model, input_shape: tuple[int, ...], most_values: int) -> None:
    """Infer all shapes, for one image, from the shapes of the parameters; changes the model."""
    for tensor in model.graph.initializer:
        if tensor.raw_data and len(tensor.dims):
            tensor.raw_data = b""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    found = tuple(dim.dim_value for dim in dims[1:])
    if len(dims) != len(input_shape) + 1 or found != input_shape:
        raise ValueError(f"its input is of shape {found}, in the sidecar of {input_shape}")
    dims[0].dim_value = 1
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    for node in inferred.node:
        values = math.prod(shapes.get(node.output[0], [0]))
        if not 0 < values <= most_values:
            raise ValueError(f"{node.name!r} makes an array of {values or 'unknown'} values")
