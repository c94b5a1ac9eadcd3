"""Initialise networks of rectifiers as He et al. 2015 do (section 2.2)."""

from __future__ import annotations

import ctypes
import hashlib
import math
import struct
from typing import Dict, Mapping, NamedTuple, Sequence

import mxnet as mx
import numpy as np

from .. import native
from ..errors import one_of, require, whole
from .parameters import aligned, set_first_value

_normal = native.function(
    "deeprect_normal",
    [
        np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS"),
        ctypes.c_int64,
        ctypes.c_float,
        ctypes.c_uint32 * 4,
    ],
)


def _fill_normal(out: np.ndarray, std: float, seed: int, name: str) -> None:
    """Fill a float32 array with normal values; value i depends on (seed, name, i) only."""
    # hash() differs from process to process; SHA-256 does not.
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    key = (ctypes.c_uint32 * 4)(*struct.unpack("<4I", digest[:16]))
    _normal(out, out.size, std, key)


class Geometry(NamedTuple):
    """What the shape of a convolution's weight does not tell."""

    groups: int = 1
    channels_last: bool = False
    transposed: bool = False

    def fans(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the number of inputs that an output depends on, and of outputs of an input.

        As in the paper, strides do not count. The first axis of a weight is that of all outputs,
        or of all inputs if transposed; the other is that of the inputs, or outputs, of a group.
        """
        other = shape[-1 if self.channels_last else 1]
        kernel = math.prod(shape) // (shape[0] * other)
        fans = kernel * other, kernel * shape[0] // self.groups
        return fans[::-1] if self.transposed else fans


class Slopes(Dict[str, float]):
    """Slopes by the names of the weights, with the geometry of convolutions; plain by default."""

    def __init__(self) -> None:
        super().__init__()
        self.geometry: dict[str, Geometry] = {}


@mx.init.register
class MSRA(mx.init.Initializer):
    """Gaussian weights that keep the variance of the signals (He et al. 2015, section 2.2).

    The standard deviation is sqrt(2 / ((1 + a^2) n)) (Eqn 15; Eqns 10 and 14 for a = 0), with a
    the slope of the rectifier and n = k^2 c, the fan-in, which keeps the variance of the
    activations through the layers, or n = k^2 d, the fan-out, which keeps that of the gradients;
    k is the size of the filters, c and d the numbers of input and output channels. Either of them
    suffices; the paper's large models used the fan-out. The first layer has no rectifier before
    it, and so its forward condition is n Var[w] = 1. The paper applies the same rule to it, since
    one factor of 2 in the whole network does not matter; so does this class.

    Biases are 0. The values of a weight depend on (seed, name of the parameter, shape) only.

    Parameters
    ----------
    slope : float or mapping of str to float
        a, for all weights or by the name of the parameter. What `rectifier_slopes` returns also
        holds the groups and layouts of convolutions; without it, weights are taken for those of
        convolutions without groups, in MXNet's own layout (out, in, kernel...).
    fan : {"in", "out"}
        n.
    seed : int
        At least 0.
    stds : mapping of str to float, optional
        Standard deviations given by hand, by the name of the parameter.
    geometry : mapping of str to Geometry, optional
        By the name of the parameter; by default that of the slopes.

    Raises
    ------
    ValueError
        If `fan` or `seed` is not one of these. At initialisation: if a weight has fewer than two
        axes, or no slope in the mapping.

    Examples
    --------
    >>> net.initialize(MSRA(rectifier_slopes(net), seed=1))
    """

    def __init__(
        self,
        slope: float | Mapping[str, float] = 0.0,
        fan: str = "in",
        seed: int = 0,
        stds: Mapping[str, float] | None = None,
        geometry: Mapping[str, Sequence] | None = None,
    ):
        one_of("fan", fan, "in", "out")
        seed = whole("seed", seed, 0, 2**128)
        require("stds", stds, Mapping, type(None))
        if not isinstance(slope, (int, float, Mapping)):
            raise ValueError(f"slope must be a number, or numbers by name, got {slope!r}")
        if geometry is None:
            geometry = getattr(slope, "geometry", {})
        self.slope: float | dict[str, float] = (
            dict(slope) if isinstance(slope, Mapping) else float(slope)
        )
        self.fan: str = fan
        self.seed: int = seed
        self.stds: dict[str, float] = dict(stds or {})
        self.geometry: dict[str, Geometry] = {n: Geometry(*g) for n, g in geometry.items()}
        super().__init__(
            slope=self.slope, fan=fan, seed=self.seed, stds=self.stds, geometry=self.geometry
        )

    def std(self, name: str, shape: tuple[int, ...]) -> float:
        """Return the standard deviation for a weight."""
        if name in self.stds:
            return self.stds[name]
        if len(shape) < 2:
            raise ValueError(
                f"MSRA needs a weight with output and input axes, but {name!r} has shape {shape}; "
                "give this parameter an initialiser of its own"
            )
        if isinstance(self.slope, dict) and name not in self.slope:
            raise ValueError(
                f"no slope is given for {name!r}; make the mapping with rectifier_slopes(net)"
            )
        slope = self.slope[name] if isinstance(self.slope, dict) else self.slope
        fans = self.geometry.get(name, Geometry()).fans(shape)
        return math.sqrt(2 / ((1 + slope**2) * fans[self.fan == "out"]))

    def _init_weight(self, name, arr):
        values = np.empty(arr.shape, np.float32)
        _fill_normal(values, self.std(str(name), arr.shape), self.seed, str(name))
        arr[:] = values

    def initialize(
        self, net: mx.gluon.Block, ctx: mx.Context | Sequence[mx.Context] | None = None
    ) -> None:
        """Initialise the parameters of a network that have no values yet, faster than Gluon does.

        For each array Gluon fills memory with zeros, initialises it and copies it. This method
        draws the weights into the memory that they stay in. Values are the same.

        Parameters
        ----------
        net : Block
        ctx : Context or list of Context, optional
            By default the current one.
        """
        for name, parameter in net.collect_params().items():
            known = parameter.shape is not None and 0 not in parameter.shape
            if parameter._data is not None:
                continue
            if parameter.init is None and known and np.dtype(parameter.dtype) == np.float32:
                values = aligned(np.empty, parameter.shape, np.float32)
                _fill_normal(values, self.std(name, parameter.shape), self.seed, name)
                set_first_value(parameter, values, ctx or mx.current_context())
            else:
                parameter.initialize(ctx=ctx, default_init=self)
