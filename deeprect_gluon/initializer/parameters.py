"""Give Gluon parameters their first values with fewer passes over memory than Gluon makes."""

from __future__ import annotations

from typing import Callable, Sequence

import mxnet as mx
import numpy as np

# The length of a cache line, in bytes; MXNet's own arrays are aligned to it.
_LINE = 64


def aligned(
    allocate: Callable[..., np.ndarray], shape: tuple[int, ...], dtype: type | np.dtype
) -> np.ndarray:
    """Return an array of `allocate` (`numpy.empty` or `numpy.zeros`), aligned for MXNet."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = allocate(size + _LINE, np.uint8)
    first = -memory.ctypes.data % _LINE
    return memory[first : first + size].view(dtype).reshape(shape)


class _Source:
    """The source of a Gluon parameter's first value.

    Gluon asks it for a copy on each device. On the CPU that copy is the array itself; an NDArray
    would be copied once more.
    """

    stype = "default"

    def __init__(self, values: np.ndarray):
        self.shape, self.dtype = values.shape, values.dtype.type
        self._values = values

    def copyto(self, ctx: mx.Context) -> mx.nd.NDArray:
        if ctx == mx.cpu():
            return mx.nd.from_numpy(self._values)
        return mx.nd.array(self._values, ctx, self.dtype)


def _zeros_like(value: mx.nd.NDArray) -> mx.nd.NDArray:
    if value.context != mx.cpu():
        return mx.nd.zeros_like(value)
    # The system fills new memory with zeros when it is first used: in the first backward, if ever.
    return mx.nd.from_numpy(aligned(np.zeros, value.shape, value.dtype))


def set_first_value(
    parameter: mx.gluon.Parameter, values: np.ndarray, ctx: mx.Context | Sequence[mx.Context]
) -> None:
    """Give a parameter that has no value yet its first one, and a gradient of zeros.

    Parameters
    ----------
    parameter : Parameter
    values : ndarray
        Of the parameter's shape and type. On the CPU the parameter keeps this memory: use it for
        nothing else.
    ctx : Context or list of Context
    """
    req = parameter.grad_req
    parameter.grad_req = "null"  # keeps Gluon from writing zeros into a gradient of its own
    parameter._load_init(_Source(values), ctx)
    parameter._grad_req = req
    if req != "null":
        parameter._grad = [_zeros_like(value) for value in parameter._data]
        mx.autograd.mark_variables(parameter._data, parameter._grad, req)
