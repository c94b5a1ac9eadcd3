"""Gluon blocks: PReLU, convolution with PReLU, dense layer, poolings."""

from __future__ import annotations

import math
from typing import Sequence

import mxnet as mx
import numpy as np

from . import native
from .errors import one_of, whole
from .operators import conv_prelu, dense, is_portable, max_pool, prelu


class PReLU(mx.gluon.HybridBlock):
    """Parametric rectifier with a learned slope (He et al. 2015, section 2.1).

    Parameters
    ----------
    alpha_initializer : Initializer or str
        Of the slopes; the paper starts them at 0.25.
    shared : bool
        One slope for the layer instead of one for each channel.
    in_channels : int
        Number of channels; 0 to infer it from the first input.
    axis : int
        The channel axis.

    Raises
    ------
    TypeError
        If `alpha_initializer` is something else, such as the number of channels.

    Notes
    -----
    Slopes take no weight decay (their `wd_mult` is 0): it would push them to 0, a plain ReLU
    (section 2.1). Nothing bounds them.
    """

    def __init__(
        self,
        alpha_initializer: mx.init.Initializer | str | None = None,
        *,
        shared: bool = False,
        in_channels: int = 0,
        axis: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._axis = whole("axis", axis, -64)
        with self.name_scope():
            self.alpha = _slopes(
                self, alpha_initializer, whole("in_channels", in_channels, 0), shared
            )

    def hybrid_forward(self, F, x, alpha):
        return prelu(x, alpha, self._axis)

    def __repr__(self):
        return f"PReLU({self.alpha.shape[0] or 'deferred'}, axis={self._axis})"


def _side(name: str, value, least: int) -> int:
    """Return the side of a square that is given as a number or as a pair of equal numbers."""
    if isinstance(value, (tuple, list)) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if isinstance(value, (tuple, list)):
        raise ValueError(f"{name}={value!r} is no square; give a number or two equal ones")
    return whole(name, value, least)


def _check_fast(fast) -> bool | None:
    return one_of("fast", fast, None, True, False)


def _slopes(
    block: mx.gluon.HybridBlock, initializer, channels: int, shared: bool
) -> mx.gluon.Parameter:
    if not isinstance(initializer, (mx.init.Initializer, str, type(None))):
        raise TypeError(
            f"alpha_initializer must be an Initializer, got {initializer!r}; the number of "
            "channels is in_channels, one slope for all is shared=True"
        )
    if isinstance(initializer, str):
        try:
            mx.init.create(initializer)
        except AssertionError as error:
            raise ValueError(f"alpha_initializer={initializer!r} is not known to MXNet") from error
    one_of("shared", shared, True, False)
    return block.params.get(
        "alpha",
        shape=(1 if shared else channels,),
        init=initializer or mx.init.Constant(0.25),
        wd_mult=0.0,
        allow_deferred_init=True,
    )


def _runs_ours(x, dtype, fast: bool | None) -> bool:
    """Return whether a layer computes by one of our operators for float32 on the CPU.

    `fast` is that of the block: True wherever possible, False never, None where it is also faster
    and the machine has no GPU, on which a hybridized net might run. `dtype` is the type in which
    the layer computes.
    """
    if fast is False or is_portable(x) or np.dtype(dtype) != np.float32:
        return False
    if isinstance(x, mx.nd.NDArray):
        on_cpu = x.context.device_type != "gpu"
    else:
        on_cpu = bool(fast) or mx.context.num_gpus() == 0
    return on_cpu and (bool(fast) or native.isa() != "baseline")


class ConvPReLU(mx.gluon.HybridBlock):
    """Convolution with bias and the rectifier after it, in one operator where that is faster.

    Parameters
    ----------
    channels : int
        Number of filters.
    kernel_size, strides, padding : int, or pair of equal ints
        As in `mx.gluon.nn.Conv2D`.
    in_channels : int
        Channels of the input; 0 to infer them from the first one.
    activation : str
        "prelu" (a slope for each channel), "prelu_shared" (one for the layer) or "relu".
    alpha_initializer : Initializer
        Of the slopes; the paper starts them at 0.25.
    fast : bool, optional
        False for MXNet's convolution and `deeprect_gluon.prelu`; True for `conv_prelu` wherever it
        can be used: kernels of 2 and 3, stride 1, float32, on the CPU. By default it is used there
        if this processor has at least AVX2. A hybridized net also needs that the machine has no
        GPU, on which its graph might run.

    Notes
    -----
    The parameters are Conv2D's `weight` and `bias` and PReLU's `alpha`, for every value of `fast`.
    So checkpoints do not depend on it. Input (N, C, H, W).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        *,
        in_channels: int = 0,
        activation: str = "prelu",
        alpha_initializer: mx.init.Initializer | str | None = None,
        fast: bool | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        one_of("activation", activation, "prelu", "prelu_shared", "relu")
        self.fast = _check_fast(fast)
        self._channels = whole("channels", channels, 1)
        self._kernel = _side("kernel_size", kernel_size, 1)
        self._strides = _side("strides", strides, 1)
        self._padding = _side("padding", padding, 0)
        in_channels = whole("in_channels", in_channels, 0)
        with self.name_scope():
            self.weight = self.params.get(
                "weight",
                shape=(channels, in_channels, self._kernel, self._kernel),
                allow_deferred_init=True,
            )
            self.bias = self.params.get("bias", shape=(channels,), init="zeros")
            if activation == "relu":
                self.relu = mx.gluon.nn.Activation("relu")
            else:
                shared = activation == "prelu_shared"
                self.alpha = _slopes(self, alpha_initializer, channels, shared)

    def _is_fast(self, x) -> bool:
        possible = self._kernel in (2, 3) and self._strides == 1 and self._padding < self._kernel
        return possible and _runs_ours(x, self.weight.dtype, self.fast)

    def hybrid_forward(self, F, x, weight, bias, alpha=None):
        if self._is_fast(x):
            return conv_prelu(x, weight, bias, alpha, self._padding)
        return self.rectify(self.convolve(F, x, weight, bias), alpha)

    def convolve(self, F, x, weight, bias):
        """Compute the first half of the layer, by MXNet's operator."""
        return F.Convolution(
            x,
            weight,
            bias,
            num_filter=self._channels,
            kernel=2 * (self._kernel,),
            stride=2 * (self._strides,),
            pad=2 * (self._padding,),
        )

    def rectify(self, z, alpha=None):
        """Compute the second half; `alpha` is None for a ReLU."""
        return self.relu(z) if alpha is None else prelu(z, alpha)

    def __repr__(self):
        shape = self.weight.shape
        return (
            f"ConvPReLU({shape[1] or None} -> {shape[0]}, kernel_size={self._kernel}, "
            f"strides={self._strides}, padding={self._padding})"
        )


# Values of a dense layer's weight. For smaller ones MXNet is as fast forward, faster backward.
LARGE_WEIGHT = 1 << 22


class Dense(mx.gluon.nn.Dense):
    """Fully-connected layer, by our operator where that is faster.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, optional
        As for `mx.gluon.nn.Dense`; as all further arguments.
    fast : bool, optional
        False for MXNet's operator; True for `dense` wherever it can be used: float32 on the CPU,
        with a bias, all axes but the first being inputs. By default it is used there for weights
        that are too large for the caches, under the conditions of `ConvPReLU`.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        *args,
        in_units: int = 0,
        fast: bool | None = None,
        **kwargs,
    ):
        known = ("relu", "sigmoid", "softrelu", "softsign", "tanh")
        one_of("activation", activation, None, *known)
        units, in_units = whole("units", units, 1), whole("in_units", in_units, 0)
        super().__init__(units, activation, *args, in_units=in_units, **kwargs)
        self.fast = _check_fast(fast)

    def _is_fast(self, x) -> bool:
        pays = self.fast or math.prod(self.weight.shape) >= LARGE_WEIGHT
        return self._flatten and pays and _runs_ours(x, self.weight.dtype, self.fast)

    def hybrid_forward(self, F, x, weight, bias=None):
        if bias is None or not self._is_fast(x):
            return super().hybrid_forward(F, x, weight, bias)
        y = dense(x, weight, bias)
        return y if self.act is None else self.act(y)


class _Pooling(mx.gluon.HybridBlock):
    """A layer that pools by our operator where that is possible and `fast` allows it."""

    def __init__(self, fast: bool | None, **kwargs):
        super().__init__(**kwargs)
        self.fast = _check_fast(fast)
        self._dtype = "float32"

    def cast(self, dtype):
        self._dtype = dtype
        super().cast(dtype)

    def _max(self, F, x, window: int, stride: int, name: str | None = None):
        dtype = x.dtype if F is mx.nd else self._dtype
        if _runs_ours(x, dtype, self.fast):
            return max_pool(x, window, stride)
        windows, strides = 2 * (window,), 2 * (stride,)
        return F.Pooling(x, kernel=windows, stride=strides, pool_type="max", name=name)


class MaxPool2D(_Pooling):
    """Max pooling of square windows without padding, by our operator where that is faster.

    Parameters
    ----------
    pool_size, strides : int, or pair of equal ints
        Of the windows; those that do not fit into the map are left out. By default the stride is
        the size.
    fast : bool, optional
        False for MXNet's operator; True for `max_pool` wherever it can be used: float32 on the CPU.
        By default it is used there under the conditions of `ConvPReLU`.

    Notes
    -----
    Input (N, C, H, W).
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int],
        strides: int | tuple[int, int] | None = None,
        *,
        fast: bool | None = None,
        **kwargs,
    ):
        super().__init__(fast, **kwargs)
        self._window = _side("pool_size", pool_size, 1)
        self._stride = self._window if strides is None else _side("strides", strides, 1)

    def hybrid_forward(self, F, x):
        return self._max(F, x, self._window, self._stride, name="fwd")

    def __repr__(self):
        return f"MaxPool2D(pool_size={self._window}, strides={self._stride})"


class SpatialPyramidPooling(_Pooling):
    """Max pooling over a pyramid of grids, concatenated to one vector (He et al. 2014, SPP-net).

    Level n divides an a x a map into n x n windows: the stride is floor(a / n) and the window
    a - (n - 1) * stride. The windows cover the whole map; if n divides a, they are disjoint.
    They are fixed when the block is made. So the block exports as plain pooling nodes.

    Parameters
    ----------
    pyramid : sequence of int
        The levels, in the order of the output.
    map_size : int
        Height and width a of the input map; at least the largest level.
    fast : bool, optional
        As for `MaxPool2D`.

    Notes
    -----
    Input (N, C, a, a); output (N, C * sum(n * n for n in pyramid)), level after level, each in
    the order channel, row, column.

    Raises
    ------
    ValueError
        If a level is smaller than 1 or larger than the map.
    """

    def __init__(
        self, pyramid: Sequence[int], map_size: int, *, fast: bool | None = None, **kwargs
    ):
        super().__init__(fast, **kwargs)
        if not isinstance(pyramid, (tuple, list)):
            raise TypeError(
                f"pyramid must be a sequence of levels such as (4, 2, 1), got {pyramid!r}"
            )
        self.pyramid = tuple(whole("a level of the pyramid", n, 0) for n in pyramid)
        self.map_size = whole("map_size", map_size, 1)
        if not pyramid or not all(1 <= n <= map_size for n in pyramid):
            raise ValueError(
                f"a pyramid {self.pyramid} cannot pool a {map_size}x{map_size} map; "
                f"every level must lie between 1 and {map_size}"
            )

    def windows(self) -> list[tuple[int, int, int]]:
        """Return (level, window, stride) of each level."""
        strides = [self.map_size // n for n in self.pyramid]
        return [(n, self.map_size - (n - 1) * s, s) for n, s in zip(self.pyramid, strides)]

    def hybrid_forward(self, F, x):
        levels = [self._max(F, x, window, stride) for _, window, stride in self.windows()]
        return F.concat(*map(F.flatten, levels), dim=1)

    def __repr__(self):
        return f"SpatialPyramidPooling({self.pyramid}, map_size={self.map_size})"
