"""Loading exports that may come from a stranger: everything is checked before it is used."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Callable

import mxnet as mx
import numpy as np

from ..initializer.parameters import set_first_value
from ..models.weights import read_params
from .graph import INPUT
from .onnx_check import check_onnx, last_line
from .sidecar import Sidecar, read_sidecar, verify_files

# What exports have. MXNet has operators that take addresses or names of code from their attributes.
OPERATORS = frozenset(
    (
        *("null", "_copy", "Activation", "Cast", "Concat", "Convolution", "Dropout", "Flatten"),
        *("FullyConnected", "LeakyReLU", "Pooling", "SwapAxis", "expand_dims"),
        *("deeprect_conv_prelu", "deeprect_dense", "deeprect_max_pool", "deeprect_prelu"),
    )
)
# Values of one image's largest map; model C at 224 pixels has 1.2 million.
MOST_VALUES = 1 << 28
# Model C's graph is a hundredth of that.
MOST_SYMBOL_BYTES = 16 << 20


class Exported:
    """A loaded export: `scores = exported(x)`.

    Attributes
    ----------
    sidecar : Sidecar
    """

    def __init__(self, sidecar: Sidecar, run: Callable[[np.ndarray], np.ndarray]):
        self.sidecar = sidecar
        self._run = run

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the scores (N, classes) of inputs (N, channels, height, width), float32.

        Raises
        ------
        ValueError
            If the inputs have another shape.
        """
        x = np.ascontiguousarray(x, np.float32)
        shape = self.sidecar.input_shape or ()
        if x.shape[1:] != shape or not len(x):
            raise ValueError(
                f"inputs have shape {x.shape}; the net takes (N, {', '.join(map(str, shape))})"
            )
        return self._run(x)


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
        symbol, arrays = _read_symbol(files[0]), read_params(files[1])
        exported = Exported(sidecar, _symbol_block(symbol, arrays, shape, files[0]))
    _try(exported, shape, files[0])
    return exported


def _try(exported: Exported, shape: tuple[int, ...], path: Path) -> None:
    """Run an export once: runtimes find some faults only then."""
    classes = exported.sidecar.classes
    try:
        scores = exported(np.zeros((1, *shape), np.float32))
    # MXNet and ONNX Runtime have no error in common.
    except Exception as error:
        raise ValueError(f"{path} does not run: {last_line(error)}") from error
    if classes and scores.shape != (1, len(classes)):
        raise ValueError(f"{path} gives scores of shape {scores.shape} for {len(classes)} classes")


def _onnx_session(files: list[Path], shape: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
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
    return lambda x: session.run(None, {INPUT: x})[0]


def _read_symbol(path: Path) -> mx.sym.Symbol:
    """Parse a symbol whose nodes refer to earlier nodes and are of known operators only."""
    if path.stat().st_size > MOST_SYMBOL_BYTES:
        raise ValueError(f"{path} has more than {MOST_SYMBOL_BYTES} bytes; it is no export's")
    try:
        content = json.loads(path.read_bytes())
        nodes, heads = content["nodes"], content["heads"]
        for i, node in enumerate(nodes):
            _check_node(node, i)
        if [len(head) for head in heads] != [3] or heads[0][0] not in range(len(nodes)):
            raise ValueError(f"its heads are {heads}")
        return mx.sym.load_json(json.dumps(content))
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        mx.MXNetError,
    ) as error:
        raise ValueError(f"{path} is no symbol of an exported net: {last_line(error)}") from error


def _check_node(node: dict, number: int) -> None:
    if node["op"] not in OPERATORS:
        raise ValueError(f"{node['name']!r} is of the operator {node['op']!r}, which no export has")
    if node.get("subgraphs"):
        raise ValueError(f"{node['name']!r} has a graph of its own")
    attrs = node.get("attrs", {})
    if not all(isinstance(value, str) for value in (node["name"], *attrs, *attrs.values())):
        raise ValueError(f"{node['name']!r} has attributes other than texts")
    if any("-" in attrs.get(key, "") for key in ("kernel", "stride", "pad", "dilate")):
        raise ValueError(f"{node['name']!r} has a negative extent")
    for before, output, _ in node["inputs"]:
        if before not in range(number) or output != 0:
            raise ValueError(f"{node['name']!r} has an input {before} that does not come before it")


def _symbol_block(
    symbol: mx.sym.Symbol, arrays: dict[str, np.ndarray], shape: tuple[int, ...], path: Path
) -> Callable[[np.ndarray], np.ndarray]:
    arrays = {name[len("arg:") :]: array for name, array in arrays.items()}
    names = symbol.list_inputs()
    if sorted(names) != sorted([INPUT, *arrays]):
        different = sorted({INPUT, *arrays} ^ set(names))
        raise ValueError(f"{path} and its parameters do not both have {', '.join(different)}")
    shapes = {name: array.shape for name, array in arrays.items()}
    types = {name: array.dtype for name, array in arrays.items()}
    try:
        symbol.infer_type(**{INPUT: np.float32}, **types)
        made = symbol.get_internals().infer_shape(**{INPUT: (1, *shape)}, **shapes)[1]
    except mx.MXNetError as error:
        raise ValueError(f"the parameters do not fit {path}: {last_line(error)}") from error
    largest = max(map(math.prod, made))
    if largest > max([MOST_VALUES, *(array.size for array in arrays.values())]):
        raise ValueError(f"{path} makes arrays of {largest} values for an image")
    with warnings.catch_warnings():
        # SymbolBlock asks for types before it has parameters; they are given below.
        warnings.filterwarnings("ignore", "Cannot decide type", UserWarning)
        block = mx.gluon.SymbolBlock(symbol, mx.sym.var(INPUT))
    parameters = block.collect_params()
    for name, array in arrays.items():
        parameters[name].cast(array.dtype.name)
        # A copy, since MXNet's kernels want their arrays at even addresses.
        set_first_value(parameters[name], array.copy(), mx.cpu())
    block.hybridize(static_alloc=True)
    return lambda x: block(mx.nd.array(x)).asnumpy()
