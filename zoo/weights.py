"""Encode and decode weights as safetensors files of float32, float16 or int8 arrays.

A file contains only arrays, by Gluon's structural names, so that reading a file never runs code.
With int8 a weight is q * s, where q is an integer from -127 to 127 and s is the scale of its output
channel (axis 0). The scales are a second array `NAME:scale`. Biases and slopes are always float32.
"""

from __future__ import annotations

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator, Mapping

import numpy as np
import safetensors

FORMATS = ("float16", "int8", "float32")
_DTYPES: dict[str, np.dtype] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
}
_SCALE = ":scale"
_MOST_AXES = 32  # of NumPy
_LONGEST_NAME = 200
_MOST_HEADER = 1 << 20  # bytes; parsed JSON takes up to 60 times as much memory


def encode(arrays: Mapping[str, np.ndarray], form: str) -> bytes:
    """Return the content of a weights file.

    Parameters
    ----------
    arrays : mapping of structural name to float32 array
    form : {"float16", "int8", "float32"}
        The type of arrays with two or more axes.

    Raises
    ------
    ValueError
        If the form is unknown, or an array has NaN, infinity or a value too large for the form.
    """
    if form not in FORMATS:
        raise ValueError(f"format={form!r} is not known; use one of {', '.join(FORMATS)}")
    kept = {}
    for name, array in arrays.items():
        array = np.ascontiguousarray(array, np.float32)
        # Only float16 has a smaller range than float32.
        if not (np.abs(array) <= np.finfo(form if form == "float16" else "float32").max).all():
            raise ValueError(
                f"{name} has NaN, infinite values or values too large for {form}; "
                "such weights are not published"
            )
        if array.ndim < 2 or form == "float32":
            kept[name] = array
        elif form == "float16":
            kept[name] = array.astype(np.float16)
        else:
            rows = array.reshape(len(array), -1)
            scale = np.abs(rows).max(1) / np.float32(127)
            # Any scale is right for a channel of zeros.
            scale[scale == 0] = 1
            kept[name] = np.rint(rows / scale[:, None]).astype(np.int8).reshape(array.shape)
            kept[name + _SCALE] = scale
    return safetensors.serialize(
        {
            name: {"dtype": array.dtype.name, "shape": array.shape, "data": array.tobytes()}
            for name, array in kept.items()
        }
    )


def decode(content: bytes | np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of a weights file in float32, by their structural names.

    Parameters
    ----------
    content : bytes, or ndarray of uint8, shape (N,)

    Raises
    ------
    ValueError
        If the content is not such a file, whatever else it contains.
    """
    try:
        arrays = dict(_views(np.frombuffer(content, np.uint8).data))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"not a weights file in safetensors' format: {error}") from error
    scales = {name: arrays.pop(name) for name in list(arrays) if name.endswith(_SCALE)}
    for name, values in arrays.items():
        scale = scales.get(name + _SCALE)
        wanted = (np.dtype("<f4"), values.shape[:1]) if values.dtype == np.int8 else None
        found = None if scale is None else (scale.dtype, scale.shape)
        if found != wanted:
            raise ValueError(
                f"{name} ({values.dtype}) has scales of (type, shape) {found}, expected {wanted}"
            )
    unknown = scales.keys() - {name + _SCALE for name in arrays}
    if unknown:
        raise ValueError(f"{min(unknown)} belongs to no array")
    # NumPy releases the interpreter's lock while it computes.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        unpacked = threads.map(
            lambda name: _unpack(arrays[name], scales.get(name + _SCALE)), arrays
        )
        return dict(zip(arrays, unpacked))


def _unpack(values: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    if scale is None:
        return values.astype(np.float32)
    return np.asarray(values * scale.reshape(scale.shape + (1,) * (values.ndim - 1)))


def _views(content: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of a file without a copy, which safetensors' own reader would make."""
    size = int.from_bytes(content[:8], "little")
    if size > _MOST_HEADER:
        raise ValueError(f"its header has {size:,} bytes; at most {_MOST_HEADER:,} are read")
    header, data = content[8 : 8 + size], content[8 + size :]
    if len(header) < size or not size:
        raise ValueError("its header is cut off")
    tensors = json.loads(bytes(header))
    tensors.pop("__metadata__", None)
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise ValueError(
                f"an array's name is not printable or over {_LONGEST_NAME} letters long"
            )
        if tensor["dtype"] not in _DTYPES:
            raise ValueError(f"{name} has type {tensor['dtype']:.9}; expected {', '.join(_DTYPES)}")
        dtype, shape = _DTYPES[tensor["dtype"]], tensor["shape"]
        # Other JSON values in place of these numbers could ask for any amount of memory and time.
        numbers = isinstance(shape, list) and all(
            type(n) is int and 0 <= n <= len(content) for n in shape
        )
        if not numbers or len(shape) > _MOST_AXES:
            raise ValueError(f"{name} has no shape of at most {_MOST_AXES} whole numbers")
        end = position + math.prod(shape) * dtype.itemsize
        if [position, end] != tensor["data_offsets"]:
            raise ValueError(f"{name} of shape {shape} is not at bytes {position} to {end}")
        yield name, np.frombuffer(data[position:end], dtype).reshape(shape)
        position = end
    if position != len(data):
        raise ValueError(f"its arrays have {position} bytes, and it {len(data)}")
