"""The initialiser of He et al. 2015, section 2.2, for networks of rectifiers."""

from __future__ import annotations

import ctypes
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Mapping

import mxnet as mx
import numpy as np

# Values drawn from one generator. Part of the definition of the values: not to be changed.
CHUNK = 1 << 18


def _draw(out: np.ndarray, std: float, seed: int, name: str) -> None:
    """Fill a flat float32 array with normal values that depend on (seed, name, its size) only."""
    # hash() differs from process to process; SHA-256 does not.
    key = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")

    def fill(start: int) -> None:
        entropy = [seed, start // CHUNK, *key.tolist()]
        chunk = out[start : start + CHUNK]
        generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy)))
        generator.standard_normal(dtype=np.float32, out=chunk)
        chunk *= np.float32(std)

    # NumPy releases the interpreter's lock while it draws.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(fill, range(0, out.size, CHUNK)))


def _shared_memory(arr: mx.nd.NDArray) -> np.ndarray:
    """Return the values of a float32 CPU array as a flat NumPy array in the same memory."""
    arr.wait_to_read()
    pointer = ctypes.POINTER(ctypes.c_float)()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(arr.handle, ctypes.byref(pointer)))
    return np.ctypeslib.as_array(pointer, shape=(arr.size,))


@mx.init.register
class MSRA(mx.init.Initializer):
    """Gaussian weights whose variance keeps that of the signals (He et al. 2015, section 2.2).

    The standard deviation is sqrt(2 / ((1 + a^2) n)) (Eqn 15; Eqns 10 and 14 for a = 0), with a
    the slope of the rectifier and n = k^2 c, the fan-in, which keeps the variance of the
    activations through the layers, or n = k^2 d, the fan-out, which keeps that of the gradients;
    k is the size of the filters, c and d the numbers of input and output channels. Either of them
    suffices; the paper's large models used the fan-out. The first layer has no rectifier before
    it, so that the forward condition is n Var[w] = 1 there; as the paper does, the same rule is
    applied to it, since one factor of 2 in the whole network does not matter.

    Biases are 0. The values of a weight depend on (seed, name of the parameter, shape) only.

    Parameters
    ----------
    slope : float or mapping of str to float
        a, for all weights or by the name of the parameter: see `rectifier_slopes`.
    fan : {"in", "out"}
        n.
    seed : int
        At least 0.

    Raises
    ------
    ValueError
        If `fan` or `seed` is none of these, or, at initialisation, if a weight has fewer than two
        axes or no slope in the mapping.

    Examples
    --------
    >>> net.initialize(MSRA(rectifier_slopes(net), seed=1))
    """

    def __init__(
        self, slope: float | Mapping[str, float] = 0.0, fan: str = "in", seed: int = 0
    ) -> None:
        if fan not in ("in", "out"):
            raise ValueError(f"fan must be 'in' or 'out', got {fan!r}")
        if isinstance(seed, bool) or int(seed) != seed or seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
        slope = dict(slope) if isinstance(slope, Mapping) else float(slope)
        super().__init__(slope=slope, fan=fan, seed=int(seed))
        self.slope, self.fan, self.seed = slope, fan, int(seed)

    def std(self, name: str, shape: tuple[int, ...]) -> float:
        """Return the standard deviation for a weight of shape (out, in, kernel...)."""
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
        fan = np.prod(shape[2:]) * shape[1 if self.fan == "in" else 0]
        return float(np.sqrt(2 / ((1 + slope**2) * fan)))

    def _init_weight(self, name, arr):
        std = self.std(str(name), arr.shape)
        if arr.context.device_type == "cpu" and arr.dtype == np.float32:
            _draw(_shared_memory(arr), std, self.seed, str(name))
            return
        values = np.empty(arr.size, np.float32)
        _draw(values, std, self.seed, str(name))
        arr[:] = values.reshape(arr.shape)


def _initial_slope(alpha: mx.gluon.Parameter) -> float:
    probe = mx.nd.empty((1,))
    mx.init.Zero()(mx.init.InitDesc(alpha.name, {"__init__": alpha.init}), probe)
    return float(probe.asscalar())


def _weights_and_rectifiers(block: mx.gluon.Block):
    """Yield, in the order of the blocks, ("weight", name) and ("slope", value)."""
    own = block._reg_params
    if isinstance(block, mx.gluon.nn.Activation):
        if block._act_type != "relu":
            raise ValueError(
                f"{block.name} is a {block._act_type}; the slopes of MSRA are for rectifiers only"
            )
        yield "slope", 0.0
    elif isinstance(block, mx.gluon.nn.LeakyReLU):
        yield "slope", block._alpha
    if "weight" in own:
        yield "weight", own["weight"].name
    if "alpha" in own:
        yield "slope", _initial_slope(own["alpha"])
    for child in block._children.values():
        yield from _weights_and_rectifiers(child)


def rectifier_slopes(net: mx.gluon.Block) -> dict[str, float]:
    """Return the initial slope of the rectifier that belongs to each weight of a network.

    Parameters
    ----------
    net : Block
        Its layers are taken in the order of its children: that of a sequential network.

    Returns
    -------
    dict of str to float
        By the name of the weight: 0 for a ReLU, the slope of a leaky one, the initial slope of a
        PReLU; 1, the linear case of Eqn 15, for a layer that another follows without a rectifier.

    Raises
    ------
    ValueError
        If an activation is not a rectifier.

    Notes
    -----
    The factor (1 + a^2) / 2 of Eqn 14, the backward condition, stands for the rectifier after the
    layer; that of Eqn 10, the forward condition, for the one before it. With the same kind of
    rectifier everywhere these are equal, save for the last layer, which none follows: it takes the
    slope of the rectifier before it.
    """
    slopes: dict[str, float] = {}
    waiting = None  # the weight whose rectifier has not come yet
    last = 1.0
    for kind, value in _weights_and_rectifiers(net):
        if kind == "slope":
            last = value
            if waiting:
                slopes[waiting] = value
            waiting = None
        else:
            if waiting:
                slopes[waiting] = 1.0
            waiting = value
    if waiting:
        slopes[waiting] = last
    return slopes
