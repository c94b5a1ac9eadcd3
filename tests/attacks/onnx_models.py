"""Forged ONNX exports, with their digests computed again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import onnx

from deeprect_gluon.export import export_onnx, load_export
from deeprect_gluon.export.onnx_check import OPERATORS
from tests.attacks.symbols import NUMBERS, net, sign


def forge(model: onnx.ModelProto, random: np.random.Generator) -> None:
    """Change a model in one way out of many."""

    def pick(values):
        return values[random.integers(len(values))]

    graph = model.graph
    node, tensor = pick(graph.node), pick(graph.initializer)
    kind = random.integers(8)
    if kind == 0:
        node.op_type = str(pick([*sorted(OPERATORS), "If", "Loop", "Scan"]))
    elif kind == 1 and node.attribute:
        attribute = pick(node.attribute)
        attribute.i = int(pick(NUMBERS))
        if attribute.ints:
            attribute.ints[random.integers(len(attribute.ints))] = int(pick(NUMBERS))
    elif kind == 2 and node.input:
        names = [n for other in graph.node for n in (*other.input, *other.output)]
        node.input[random.integers(len(node.input))] = str(pick([*names, "", "nothing"]))
    elif kind == 3 and tensor.dims:
        tensor.dims[random.integers(len(tensor.dims))] = int(pick(NUMBERS))
    elif kind == 4:
        tensor.data_type = int(random.integers(0, 23))
    elif kind == 5 and tensor.raw_data:
        tensor.raw_data = tensor.raw_data[: random.integers(len(tensor.raw_data))]
    elif kind == 6:
        graph.node.remove(node)
    else:
        node.attribute.add(name="kernel_shape", ints=[int(pick(NUMBERS))], type=7)


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable[[np.random.Generator], str]]:
    """Yield the trial: a forged export is refused, or runs."""
    path, x = folder / "net", np.ones((2, 2, 8, 8), np.float32)
    (file,) = export_onnx(net(), path, input_shape=(2, 8, 8))
    original = file.read_bytes()

    def trial(random: np.random.Generator) -> str:
        if random.random() < 0.3:
            content = bytearray(original)
            for _ in range(random.integers(1, 6)):
                content[random.integers(len(content))] = random.integers(256)
            file.write_bytes(content)
        else:
            model = onnx.load_from_string(original)
            for _ in range(random.integers(1, 3)):
                forge(model, random)
            file.write_bytes(model.SerializeToString())
        sign(path)
        try:
            load_export(path).outputs(x)
        except ValueError as error:
            if "\n" in str(error):
                raise
            return "refused"
        return "accepted"

    yield trial
