"""Checks of an ONNX file before a runtime gets it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..graph.onnx import import_onnx
from ..graph.symbols import last_line
from .onnx import INPUT, SMALL
from .operators import Work

if TYPE_CHECKING:
    import onnx

# What `export_onnx` and `export_int8` write, all of ONNX's own domain.
OPERATORS = frozenset(
    (
        *("Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip"),
        *("Concat", "Conv", "ConvTranspose", "DepthToSpace", "DequantizeLinear", "Div"),
        *("Elu", "Erf", "Exp", "Flatten", "Floor", "Gather", "Gelu", "Gemm"),
        *("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "HardSigmoid"),
        *("InstanceNormalization", "LRN", "LayerNormalization", "LeakyRelu", "Log"),
        *("LogSoftmax", "LpPool", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg"),
        *("PRelu", "Pad", "Pow", "QuantizeLinear", "Reciprocal", "ReduceMax"),
        *("ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Selu"),
        *("Sigmoid", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth"),
        *("Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Transpose", "Unsqueeze"),
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
        All arrays computed for one image may have so many elements together.

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
        parts = [a.i for a in node.attribute if a.name == "num_outputs"]
        if parts and parts != [len(node.output)]:
            # onnx itself would write beyond the outputs.
            raise ValueError(f"{node.name!r} has {len(node.output)} outputs, not {parts[0]}")
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
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        # Small ones may be the shapes and axes that other nodes read.
        if len(tensor.raw_data) >= SMALL:
            tensor.raw_data = b""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    found = tuple(dim.dim_value for dim in dims[1:])
    if len(dims) != len(input_shape) + 1 or found != input_shape:
        raise ValueError(f"its input is of shape {found}, in the sidecar of {input_shape}")
    dims[0].dim_value = 1
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    work = Work(most_values)
    for node in inferred.node:
        for output in node.output:
            values = math.prod(shapes.get(output, (0,)))
            if values < 1:
                raise ValueError(f"{node.name!r} makes an array of unknown size")
            kernel = next((a.ints for a in node.attribute if a.name == "kernel_shape"), ())
            work.add(node.name, values, [shapes.get(name, ()) for name in node.input], kernel)
