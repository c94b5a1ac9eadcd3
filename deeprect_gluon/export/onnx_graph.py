"""Export as ONNX.

MXNet's own exporter (`mxnet.onnx`) is no ground to build on: it writes a PReLU's slopes as (C,),
which ONNX aligns with the last axis, so that runtimes refuse the model or, where a map is C wide,
compute something else; and it needs a module that onnx has lacked since 1.19. The nets have nine
operators, which are translated here.
"""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import mxnet as mx
import numpy as np

from ..files import write_atomically
from ..version import __version__
from .graph import INPUT, Graph, Node, for_inference, require_float32, trace, with_half_weights
from .sidecar import input_shape as shape_of
from .sidecar import write_sidecar
from .symbolic import require_folder

if TYPE_CHECKING:
    import onnx

OUTPUT = "scores"
# The newest that every runtime knows for which MXNet's Pythons, 3.8 to 3.11, have a wheel.
OPSET, IR_VERSION = 21, 10
# Protobuf, ONNX's file format, ends at 2 GiB; what is not weights takes much less than this rest.
INLINE_LIMIT = (2 << 30) - (16 << 20)
# Parameters of fewer bytes stay in the model's file, where graph optimisers see them.
_SMALL = 1024
# Where external data begin: on a page, so that runtimes can map them.
_ALIGNMENT = 4096


def import_onnx():
    """Return the package onnx, which only these exports need."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "exporting as ONNX needs the package onnx: pip install 'deeprect_gluon[onnx]'"
        ) from error
    return onnx


def export_onnx(
    net: mx.gluon.HybridBlock,
    path: Path | str,
    input_shape: tuple[int, ...] | None = None,
    half: bool = False,
    inline_limit: int = INLINE_LIMIT,
) -> tuple[Path, ...]:
    """Write `PATH.onnx` for inference, and `PATH.json` beside it (`read_sidecar`).

    The input is `data` (N, channels, height, width), the output `scores` (N, classes), both
    float32; N is free.

    Parameters
    ----------
    net : HybridBlock
        Initialised, with its parameters' shapes known; of the operators that the networks of this
        package have.
    path : Path or str
        The files' common beginning; its folder must exist.
    input_shape : tuple of int, optional
        (channels, height, width); by default that of the net's configuration.
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
    path = Path(path)
    require_folder(path)
    shape = input_shape or shape_of(net)
    if shape is None:
        raise ValueError(f"{net.name} does not know its input's shape; give input_shape")
    graph = for_inference(trace(net, portable=True))
    require_float32(graph)
    if half:
        graph = with_half_weights(graph)
    model, arrays = _Translation(graph, shape).model()
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
    write_sidecar(net, path, files, "onnx", "float16" if half else "float32", shape)
    return files


def _write_data(
    model: onnx.ModelProto, arrays: dict[str, np.ndarray], path: Path, name: str
) -> None:
    """Write the larger parameters to a file, and in the model, where they are in it."""
    onnx = import_onnx()
    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            array = arrays[tensor.name]
            if array.nbytes < _SMALL:
                continue
            file.seek(math.ceil(file.tell() / _ALIGNMENT) * _ALIGNMENT)
            entry = {"location": name, "offset": file.tell(), "length": array.nbytes}
            for key, value in entry.items():
                tensor.external_data.add(key=key, value=str(value))
            tensor.data_location = onnx.TensorProto.EXTERNAL
            file.write(array.data)


class _Translation:
    """From a graph of MXNet's operators to ONNX."""

    def __init__(self, graph: Graph, input_shape: tuple[int, ...]):
        self._onnx = import_onnx()
        self._graph = graph
        internals = graph.symbol().get_internals()
        given = {name: array.shape for name, array in graph.arrays.items()}
        _, shapes, _ = internals.infer_shape(**{INPUT: (1, *input_shape)}, **given)
        names = [name[: -len("_output")] if name.endswith("_output") else name
                 for name in internals.list_outputs()]  # fmt: skip
        self._shapes = dict(zip(names, shapes))
        self._arrays: dict[str, np.ndarray] = {}
        self._nodes: list[onnx.NodeProto] = []

    def model(self) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
        """Return the model, with the parameters' types and shapes, and their values."""
        api, helper = self._onnx, self._onnx.helper
        for node in self._graph.nodes():
            if node.op != "null":
                self._translate(node)
        self._nodes[-1].output[0] = OUTPUT
        float32 = api.TensorProto.FLOAT

        def tensor_of(name: str, tensor: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, float32, ["N", *self._shapes[tensor][1:]])

        initializers = []
        for name, array in self._arrays.items():
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            initializers.append(api.TensorProto(name=name, data_type=kind, dims=array.shape))
        graph = helper.make_graph(
            self._nodes,
            "net",
            [tensor_of(INPUT, INPUT)],
            [tensor_of(OUTPUT, self._graph.output.name)],
            initializers,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="deeprect_gluon",
            producer_version=__version__,
        )
        return model, self._arrays

    def _translate(self, node: Node) -> None:
        translate = _TRANSLATIONS.get(node.op)
        if translate is None:
            raise ValueError(
                f"{node.name} is of the operator {node.op}, which is not translated to ONNX; "
                f"known are {', '.join(_TRANSLATIONS)}"
            )
        translate(self, node)

    def _add(self, kind: str, node: Node, inputs: list[str], output: str = "", **attrs) -> None:
        output = output or node.name
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], output, **attrs))

    def _tensors(self, node: Node) -> list[str]:
        """Return the names of a node's inputs, and note down those that are parameters."""
        for before in node.inputs:
            if before.op == "null" and before.name != INPUT:
                self._keep(before.name, self._graph.arrays[before.name].asnumpy())
        return [before.name for before in node.inputs]

    def _keep(self, name: str, array: np.ndarray) -> str:
        self._arrays[name] = np.ascontiguousarray(array)
        return name

    def _convolution(self, node: Node) -> None:
        _expect(node, layout=("NCHW", "None"))
        pad, rank = _get(node, "pad", (0, 0)), len(_get(node, "kernel"))
        self._add(
            "Conv",
            node,
            self._tensors(node),
            kernel_shape=_get(node, "kernel"),
            strides=_get(node, "stride", (1,) * rank),
            dilations=_get(node, "dilate", (1,) * rank),
            pads=2 * pad,
            group=_get(node, "num_group", 1),
        )

    def _rectifier(self, node: Node) -> None:
        _expect(node, act_type=("leaky", "prelu"))
        data = node.inputs[0]
        if node.attrs["act_type"] == "leaky":
            self._add("LeakyRelu", node, [data.name], alpha=_get(node, "slope", 0.25))
            return
        if node.inputs[1].op != "null":
            raise ValueError(f"the slopes of {node.name} are no parameter, which they must be")
        # ONNX aligns the last axes of slopes and data; the channels are on axis 1.
        ones = (1,) * (len(self._shapes[data.name]) - 2)
        slopes = self._graph.arrays[node.inputs[1].name].asnumpy()
        name = self._keep(f"{node.name}_slope", slopes.reshape(-1, *ones))
        self._add("PRelu", node, [data.name, name])

    def _activation(self, node: Node) -> None:
        _expect(node, act_type=("relu",))
        self._add("Relu", node, self._tensors(node))

    def _pooling(self, node: Node) -> None:
        _expect(
            node,
            pool_type=("max",),
            global_pool=("False",),
            pooling_convention=("valid",),
            layout=("NCHW", "None"),
        )
        kernel = _get(node, "kernel")
        self._add(
            "MaxPool",
            node,
            self._tensors(node),
            kernel_shape=kernel,
            strides=_get(node, "stride", (1,) * len(kernel)),
            pads=2 * _get(node, "pad", (0,) * len(kernel)),
        )

    def _flatten(self, node: Node) -> None:
        self._add("Flatten", node, self._tensors(node), axis=1)

    def _concat(self, node: Node) -> None:
        self._add("Concat", node, self._tensors(node), axis=_get(node, "dim", 1))

    def _fully_connected(self, node: Node) -> None:
        inputs = self._tensors(node)
        if len(self._shapes[node.inputs[0].name]) > 2:
            _expect(node, flatten=("True",))
            flat = f"{node.name}_input"
            self._add("Flatten", node, inputs[:1], flat, axis=1)
            inputs = [flat, *inputs[1:]]
        self._add("Gemm", node, inputs, transB=1)

    def _swap_axes(self, node: Node) -> None:
        axes = list(range(len(self._shapes[node.inputs[0].name])))
        first, second = _get(node, "dim1", 0), _get(node, "dim2", 0)
        axes[first], axes[second] = axes[second], axes[first]
        self._add("Transpose", node, self._tensors(node), perm=axes)

    def _cast(self, node: Node) -> None:
        _expect(node, dtype=("float32",))
        self._add("Cast", node, self._tensors(node), to=self._onnx.TensorProto.FLOAT)


_TRANSLATIONS: dict[str, Callable[[_Translation, Node], None]] = {
    "Convolution": _Translation._convolution,
    "LeakyReLU": _Translation._rectifier,
    "Activation": _Translation._activation,
    "Pooling": _Translation._pooling,
    "Flatten": _Translation._flatten,
    "Concat": _Translation._concat,
    "FullyConnected": _Translation._fully_connected,
    "SwapAxis": _Translation._swap_axes,
    "Cast": _Translation._cast,
}


def _get(node: Node, name: str, default=None):
    """Return an attribute, which MXNet keeps as the text of a number or a tuple."""
    text = node.attrs.get(name)
    return default if text is None or text == "()" else ast.literal_eval(text)


def _expect(node: Node, **allowed: tuple[str, ...]) -> None:
    """Raise ValueError if an attribute has another value than these; absent, it has the first."""
    for name, values in allowed.items():
        value = node.attrs.get(name, values[0])
        if value not in values:
            raise ValueError(
                f"{node.name} ({node.op}) has {name}={value}; only {', '.join(values)} is "
                "translated to ONNX"
            )
