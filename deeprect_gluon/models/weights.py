"""MXNet's file of parameters, read without MXNet, whose own reader trusts what the file says."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

_LIST, _ARRAY = 0x112, 0xF993FAC9  # the magic numbers of a list of arrays and of a dense array
_DTYPES = {0: np.dtype("<f4"), 2: np.dtype("<f2")}  # by MXNet's numbers
_MOST_AXES, _LONGEST_NAME = 8, 1000
_DENSE = 0


class _Reader:
    """A cursor over bytes that never leaves them."""

    def __init__(self, content: bytes):
        self._content = memoryview(content)
        self._position = 0

    @property
    def rest(self) -> int:
        return len(self._content) - self._position

    def take(self, size: int) -> memoryview:
        if not 0 <= size <= self.rest:
            raise ValueError(
                f"{size} bytes are announced at byte {self._position}, {self.rest} are left"
            )
        self._position += size
        return self._content[self._position - size : self._position]

    def numbers(self, form: str) -> tuple:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))


def read_params(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file that `mx.nd.save` wrote, by the names it has for them.

    Parameters
    ----------
    path : Path
        Of dense float32 and float16 arrays; every size in it is checked before it is used.

    Raises
    ------
    ValueError
        If it is anything else; the message says what is wrong.
    """
    reader = _Reader(path.read_bytes())
    try:
        magic, _, count = reader.numbers("QQQ")
        if magic != _LIST:
            raise ValueError(f"it begins with {magic:#x}, not {_LIST:#x}")
        # An array takes more bytes than one, so that a false count ends at the file's end.
        arrays = [_array(reader) for _ in range(min(count, reader.rest))]
        (names,) = reader.numbers("Q")
        if not len(arrays) == count == names:
            raise ValueError(f"{names} names for {count} arrays")
        named = {_name(reader): array for array in arrays}
        if len(named) < count:
            raise ValueError("two arrays have the same name")
        if reader.rest:
            raise ValueError(f"{reader.rest} bytes follow after its end")
    except ValueError as error:
        raise ValueError(f"{path} is not a parameter file, or is damaged: {error}") from error
    return named


def _array(reader: _Reader) -> np.ndarray:
    magic, storage, axes = reader.numbers("IiI")
    if (magic, storage) != (_ARRAY, _DENSE) or not 1 <= axes <= _MOST_AXES:
        raise ValueError(f"an array of kind {magic:#x}, storage {storage} and {axes} axes")
    shape = reader.numbers(f"{axes}q")
    _, _, kind = reader.numbers("iii")  # after the device where it was
    if kind not in _DTYPES or min(shape) < 1:
        raise ValueError(f"an array of type {kind} and shape {shape}")
    content = reader.take(math.prod(shape) * _DTYPES[kind].itemsize)
    return np.frombuffer(content, _DTYPES[kind]).reshape(shape)


def _name(reader: _Reader) -> str:
    (length,) = reader.numbers("Q")
    if length > _LONGEST_NAME:
        raise ValueError(f"a name of {length} bytes")
    return bytes(reader.take(length)).decode()
