"""Read and write files of parameters, and load them or another net's weights into a net.

Files are read and written without MXNet. Its reader trusts the sizes in them; its writer reports no
error if the disk is full when it closes the file.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Mapping, Sequence

import mxnet as mx
import numpy as np

from ..errors import require
from ..files import write_atomically
from ..initializer.parameters import set_first_value
from .network import DeepRect

_HEAD = ("output.weight", "output.bias")

# The magic numbers of a list of arrays, and of an array since MXNet 1.0 and since 0.9.
_LIST, _ARRAY, _ARRAY_0_9 = 0x112, 0xF993FAC9, 0xF993FAC8
# By MXNet's numbers.
_DTYPES: dict[int, np.dtype] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f8"),
    2: np.dtype("<f2"),
}
_MOST_AXES, _LONGEST_NAME = 8, 1000
_DENSE, _CPU = 0, (1, 0)


class _Reader:
    """A position in bytes that cannot pass their end."""

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
    """Return the arrays of a file that `mx.nd.save` of any MXNet since 0.8 wrote, by their names.

    Parameters
    ----------
    path : Path
        Of dense arrays of floating-point numbers. Every size in it is checked before it is used.

    Raises
    ------
    ValueError
        If it is another file, or damaged; the message says what is wrong.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a parameter file, but a folder or a device")
    reader = _Reader(path.read_bytes())
    try:
        magic, _, count = reader.numbers("QQQ")
        if magic != _LIST:
            raise ValueError(f"it begins with {magic:#x}, not {_LIST:#x}")
        # Every array takes at least a byte, so the loop ends even if the count is false.
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
    (magic,) = reader.numbers("I")
    storage = reader.numbers("i")[0] if magic == _ARRAY else _DENSE
    # MXNet 0.8 wrote the number of axes and no magic number before it.
    old = magic not in (_ARRAY, _ARRAY_0_9)
    axes = magic if old else reader.numbers("I")[0]
    if storage != _DENSE or not 1 <= axes <= _MOST_AXES:
        raise ValueError(f"an array of kind {magic:#x}, storage {storage} and {axes} axes")
    shape = reader.numbers(f"{axes}{'I' if old else 'q'}")
    _, _, kind = reader.numbers("iii")  # the first two are the device
    if kind not in _DTYPES or min(shape) < 1:
        raise ValueError(f"an array of type {kind} and shape {shape}")
    content = reader.take(math.prod(shape) * _DTYPES[kind].itemsize)
    return np.frombuffer(content, _DTYPES[kind]).reshape(shape)


def _name(reader: _Reader) -> str:
    (length,) = reader.numbers("Q")
    if length > _LONGEST_NAME:
        raise ValueError(f"a name of {length} bytes")
    return bytes(reader.take(length)).decode()


def write_params(path: Path, arrays: Mapping[str, mx.nd.NDArray | np.ndarray]) -> None:
    """Write the file that `mx.nd.save` would, whole or not at all.

    Parameters
    ----------
    path : Path
    arrays : mapping of name to NDArray or ndarray
        What `read_params` reads.

    Raises
    ------
    ValueError
        If an array has another type, or no values.
    OSError
        As `write_atomically`.
    """
    kinds = {dtype: kind for kind, dtype in _DTYPES.items()}
    for name, array in arrays.items():
        if (
            np.dtype(array.dtype) not in kinds
            or not 1 <= array.ndim <= _MOST_AXES
            or not array.size
        ):
            raise ValueError(
                f"{name} has type {np.dtype(array.dtype)} and shape {array.shape}; parameter files "
                f"have floating-point arrays of 1 to {_MOST_AXES} axes, with values"
            )

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(struct.pack("<QQQ", _LIST, 0, len(arrays)))
            for array in arrays.values():
                head = (_ARRAY, _DENSE, array.ndim, *array.shape, *_CPU)
                form = f"<IiI{array.ndim}qiii"
                file.write(struct.pack(form, *head, kinds[np.dtype(array.dtype)]))
                values = array.asnumpy() if isinstance(array, mx.nd.NDArray) else array
                file.write(np.ascontiguousarray(values).data)
            file.write(struct.pack("<Q", len(arrays)))
            for name in map(str.encode, arrays):
                file.write(struct.pack("<Q", len(name)) + name)

    write_atomically(path, write)


def load_weights(
    net: DeepRect,
    source: DeepRect | Path | str | Mapping[str, np.ndarray],
    ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> list[str]:
    """Fill a net with weights, which may be those of another activation or number of classes.

    The slopes of a PReLU net stay as they are if the source, a ReLU net, has none. The output layer
    stays as it is if the source has another number of classes. All else must fit.

    Parameters
    ----------
    net : DeepRect
        Initialised or not. What stays as it is must be initialised.
    source : DeepRect, path or mapping of structural name to array
        A net, a file that `save_parameters` wrote, or arrays. Where the net is not initialised it
        keeps the memory of float32 arrays: use them for nothing else.
    ctx : Context or list of Context, optional
        Where a net that is not initialised gets its parameters; by default the current context.

    Returns
    -------
    list of str
        The structural names of the parameters that stayed as they were.

    Raises
    ------
    ValueError
        If the source lacks other parameters, has slopes that the net has not, or has other shapes;
        if the file is damaged; or if a parameter that is to stay has no value. The net is unchanged
        then.
    """
    require("net", net, DeepRect)
    require("source", source, DeepRect, Path, str, Mapping)
    if isinstance(source, DeepRect):
        own = source._collect_params_with_prefix()
        found = {name: parameter.data().asnumpy() for name, parameter in own.items()}
    else:
        found = dict(source) if isinstance(source, Mapping) else read_params(Path(source))
    parameters = net._collect_params_with_prefix()
    kept: set[str] = set()
    if not any(map(_is_slope, found)):
        kept.update(filter(_is_slope, parameters))
    if _HEAD[0] in found and len(found[_HEAD[0]]) != net.config["classes"]:
        kept.update(_HEAD)
        found = {name: array for name, array in found.items() if name not in _HEAD}
    _check_fit(net, {name: array.shape for name, array in found.items()}, kept)
    for name, array in found.items():
        parameter = parameters[name]
        if parameter._data is None:
            # MXNet's kernels need arrays at even addresses that they may write to.
            values = np.require(array, np.dtype(parameter.dtype), ("C", "A", "W"))
            set_first_value(parameter, values, ctx or mx.current_context())
        else:
            parameter.set_data(array)
    return sorted(kept)


def _is_slope(name: str) -> bool:
    return name.endswith(".alpha")


def _check_fit(net: DeepRect, theirs: dict[str, tuple[int, ...]], kept: set[str]) -> None:
    """Refuse shapes that a net has not, by name, and parameters to keep that have no value."""
    parameters = net._collect_params_with_prefix()
    ours = {name: parameter.shape for name, parameter in parameters.items()}
    wrong = [n for n in {**ours, **theirs} if n not in kept and theirs.get(n) != ours.get(n)]
    if wrong:
        name, more = wrong[0], len(wrong) - 1
        raise ValueError(
            f"the weights do not fit {net.config['name']} with {net.config['activation']}: {name} "
            f"has shape {theirs.get(name, 'none')} there and {ours.get(name, 'none')} here"
            + (f", and {more} more parameters do not fit" if more else "")
        )
    empty = [name for name in sorted(kept) if parameters[name]._data is None]
    if empty:
        raise ValueError(
            f"the weights do not give {empty[0]}, which has no value yet; initialise the net first"
        )
