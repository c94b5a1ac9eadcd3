"""Parameter files: mutated heads, sizes, shapes, types and names, and random bytes."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Callable, Iterator

import mxnet as mx
import numpy as np

from deeprect_gluon import models
from deeprect_gluon.models.weights import load_weights, read_params, write_params

NET = {"stem": "small_image", "in_channels": 1, "input_size": 28, "classes": 2, "pyramid": (1,)}
# Numbers that are wrong in most places.
NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    255,
    1 << 16,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    1 << 62,
    (1 << 64) - 1,
)


def _mutate(content: bytes, random: np.random.Generator) -> bytes:
    """Return a file with a few changes, more of them near its beginning and its end."""
    content = bytearray(content)
    for _ in range(random.integers(1, 5)):
        # Heads of arrays and names are short; a random place is mostly within values.
        place = int(random.integers(len(content)) ** random.choice([0.3, 0.7, 1]))
        if random.random() < 0.3:
            place = max(0, len(content) - 1 - place)
        kind = random.integers(5)
        if kind == 0:
            content[place] ^= 1 << random.integers(8)
        elif kind == 1:
            number = struct.pack("<Q", NUMBERS[random.integers(len(NUMBERS))])
            content[place : place + 8] = number
        elif kind == 2:
            number = struct.pack("<I", NUMBERS[random.integers(len(NUMBERS))] & 0xFFFFFFFF)
            content[place : place + 4] = number
        elif kind == 3:
            del content[place : place + int(random.integers(1, 100))]
        else:
            start = int(random.integers(len(content)))
            content[place:place] = content[start : start + int(random.integers(1, 100))]
        if not content:
            break
    return bytes(content)


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable[[np.random.Generator], str]]:
    """Yield a trial that loads a mutated file of a small net's weights into the net."""
    net = models.get_model("deeprect_small14", width=0.02, hidden=(4,), **NET)
    net.initialize()
    parameters = {k: p.data() for k, p in net._collect_params_with_prefix().items()}
    small = {f"arg:{k}": mx.nd.ones((2, 3), dtype=k) for k in ("float16", "float32", "float64")}
    files = []
    for number, arrays in enumerate((parameters, small)):
        write_params(folder / f"{number}.params", arrays)
        files.append((folder / f"{number}.params").read_bytes())

    def trial(random: np.random.Generator) -> str:
        path = folder / "mutated.params"
        path.write_bytes(_mutate(files[random.integers(2)], random))
        try:
            arrays = read_params(path)
        except ValueError:
            return "refused"
        size = path.stat().st_size
        assert sum(array.nbytes for array in arrays.values()) <= size
        assert all(array.dtype.kind == "f" and array.size for array in arrays.values())
        # What was read is what the file says: written again, it is read the same.
        write_params(path, {k: mx.nd.array(a, dtype=a.dtype) for k, a in arrays.items()})
        assert path.stat().st_size <= size
        again = read_params(path)
        assert [(k, a.tobytes()) for k, a in again.items()] == [
            (k, a.tobytes()) for k, a in arrays.items()
        ]
        try:
            load_weights(net, arrays)
        except ValueError:
            return "of another net"
        return "loaded"

    yield trial
