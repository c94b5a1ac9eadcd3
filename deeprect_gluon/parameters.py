"""First values of Gluon parameters, without the copy and the initialisation that Gluon makes."""

from __future__ import annotations

from typing import Sequence

import mxnet as mx
import numpy as np


class _Source:
    """What a Gluon parameter takes its first value from: it asks for a copy on each device.

    On the CPU that copy can be the array itself, where an NDArray would be copied once more.
    """

    stype = "default"

    def __init__(self, values: np.ndarray):
        self.shape, self.dtype = values.shape, values.dtype.type
        self._values = values

    def copyto(self, ctx: mx.Context) -> mx.nd.NDArray:
        if ctx == mx.cpu():
            return mx.nd.from_numpy(self._values)
        return mx.nd.array(self._values, ctx, self.dtype)


def set_first_value(
    parameter: mx.gluon.Parameter, values: np.ndarray, ctx: mx.Context | Sequence[mx.Context]
) -> None:
    """Give a parameter that has no value yet its first one.

    Parameters
    ----------
    parameter : Parameter
    values : ndarray
        Of the parameter's shape and type. On the CPU the parameter keeps this very memory: it must
        be used for nothing else.
    ctx : Context or list of Context
    """
    parameter._load_init(_Source(values), ctx)
