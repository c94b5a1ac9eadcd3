"""Forged symbols and parameters of exports, with their digests computed again."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Callable, Iterator

import mxnet as mx
import numpy as np

import deeprect_gluon as dg
from deeprect_gluon.export import export, load_export
from deeprect_gluon.export.operators import OPERATORS
from deeprect_gluon.files import sha256

NUMBERS = [0, 1, 2, 3, 7, -1, 1 << 16, 1 << 30, (1 << 31) - 1, 1 << 31, 1 << 40, -(1 << 31)]
TEXTS = ["", "None", "()", "(0, 0)", "(-1, 3)", "(1000000, 1000000)", "(3L,3L)", "nan", "1e30", "x"]


def net() -> mx.gluon.HybridBlock:
    nn = mx.gluon.nn
    made = nn.HybridSequential(prefix="net_")
    with made.name_scope():
        made.add(dg.nn.ConvPReLU(4, 3, padding=1, in_channels=2), nn.BatchNorm(in_channels=4))
        made.add(nn.HybridLambda(lambda F, x: F.concat(*F.split(x, num_outputs=2), x, dim=1)))
        made.add(dg.nn.MaxPool2D(2, 2), nn.AvgPool2D(2, 1), nn.Flatten())
        made.add(
            dg.nn.Dense(6, fast=True, in_units=8 * 9), dg.nn.PReLU(in_channels=6), nn.Dropout(0.5)
        )
        made.add(nn.Dense(3, in_units=6))
    made.initialize(mx.init.Normal(0.3))
    return made


def sign(path: Path) -> None:
    """Write the sizes and digests of an export's files into its sidecar."""
    content = json.loads(path.with_name(f"{path.name}.json").read_text())
    for file in content["files"]:
        place = path.with_name(file["file"])
        file.update(bytes=place.stat().st_size, sha256=sha256(place))
    path.with_name(f"{path.name}.json").write_text(json.dumps(content))


def forge(content: dict[str, Any], random: np.random.Generator) -> None:
    """Change a symbol in one way out of many."""

    def pick(values):
        return values[random.integers(len(values))]

    nodes = content["nodes"]
    node = pick([n for n in nodes if n["op"] != "null"] or nodes)
    attrs = node.setdefault("attrs", {})
    kind = random.integers(9)
    if not isinstance(node.get("inputs"), list) or not isinstance(attrs, dict):
        return  # forged already
    if kind == 0:
        node["op"] = str(pick([*sorted(OPERATORS), "_Native", "Custom", "_foreach", "Crop"]))
        if random.random() < 0.5:
            attrs.clear()
    elif kind == 1 and attrs:
        attrs[pick(sorted(attrs))] = pick([*TEXTS, *map(str, NUMBERS)])
    elif kind == 2:
        attrs[pick(["kernel", "pad", "axis", "num_outputs", "__shape__", "no_bias"])] = pick(TEXTS)
    elif kind == 3 and node["inputs"]:
        pick(node["inputs"])[random.integers(2)] = pick([*NUMBERS, None, "1", [0]])
    elif kind == 4 and node["inputs"]:
        node["inputs"].pop(random.integers(len(node["inputs"])))
    elif kind == 5:
        node["inputs"].append([int(random.integers(len(nodes))), 0, 0])
    elif kind == 6:
        content["heads"] = [[pick([*NUMBERS, len(nodes) - 1]), pick(NUMBERS), 0]]
    elif kind == 7:
        variable = pick([n for n in nodes if n["op"] == "null"])
        variable["attrs"] = {pick(["__shape__", "__dtype__", "__init__"]): pick(TEXTS)}
    else:
        node[pick(sorted(node))] = pick([None, [], {}, 7, "data", *TEXTS])


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable[[np.random.Generator], str]]:
    """Yield the trial: a forged export is refused, or runs."""
    x = np.ones((2, 2, 8, 8), np.float32)
    originals = []
    for number in range(4):
        path = folder / f"net{number}"
        symbol, params = export(
            net(), path, portable=number % 2 == 1, half=number > 1, input_shape=(2, 8, 8)
        )
        originals.append((path, symbol, json.loads(symbol.read_text()), params.read_bytes()))

    def trial(random: np.random.Generator) -> str:
        path, symbol, content, params = originals[random.integers(len(originals))]
        content = json.loads(json.dumps(content))
        for _ in range(random.integers(1, 4)):
            forge(content, random)
        symbol.write_text(json.dumps(content))
        sign(path)
        try:
            outputs = load_export(path).outputs(x)
        except ValueError as error:
            if "\n" in str(error):
                raise
            return "refused"
        assert all(isinstance(y, np.ndarray) for y in outputs)
        return "accepted"

    yield trial
