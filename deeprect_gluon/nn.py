"""Gluon blocks."""

from __future__ import annotations

from typing import Sequence

import mxnet as mx

from .operators import prelu


class PReLU(mx.gluon.HybridBlock):
    """Parametric rectifier with a learned slope (He et al. 2015, section 2.1).

    Parameters
    ----------
    shared : bool
        One slope for the layer instead of one for each channel.
    in_channels : int
        Number of channels; 0 to infer it from the first input.
    alpha_initializer : Initializer
        Of the slopes; the paper starts them at 0.25.
    axis : int
        The channel axis.

    Notes
    -----
    Slopes take no weight decay (their `wd_mult` is 0): it would push them to 0, a plain ReLU
    (section 2.1). Nothing bounds them.
    """

    def __init__(
        self,
        shared: bool = False,
        in_channels: int = 0,
        alpha_initializer: mx.init.Initializer | None = None,
        axis: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._axis = axis
        with self.name_scope():
            self.alpha = self.params.get(
                "alpha",
                shape=(1 if shared else in_channels,),
                init=alpha_initializer or mx.init.Constant(0.25),
                wd_mult=0.0,
                allow_deferred_init=True,
            )

    def hybrid_forward(self, F, x, alpha):
        return prelu(x, alpha, self._axis)

    def __repr__(self):
        return f"PReLU({self.alpha.shape[0] or 'deferred'}, axis={self._axis})"


class SpatialPyramidPooling(mx.gluon.HybridBlock):
    """Max pooling over a pyramid of grids, concatenated to one vector (He et al. 2014, SPP-net).

    Level n divides an a x a map into n x n windows: the stride is floor(a / n) and the window
    a - (n - 1) * stride. The windows cover the whole map; where n divides a they are disjoint.
    They are fixed when the block is made, so that it exports as plain pooling nodes.

    Parameters
    ----------
    pyramid : sequence of int
        The levels, in the order of the output.
    map_size : int
        Height and width a of the input map; at least the largest level.

    Notes
    -----
    Input (N, C, a, a); output (N, C * sum(n * n for n in pyramid)), level after level, each in
    the order channel, row, column.

    Raises
    ------
    ValueError
        If a level is smaller than 1 or larger than the map.
    """

    def __init__(self, pyramid: Sequence[int], map_size: int, **kwargs):
        super().__init__(**kwargs)
        if not pyramid or not all(1 <= n <= map_size for n in pyramid):
            raise ValueError(
                f"a pyramid {tuple(pyramid)} cannot pool a {map_size}x{map_size} map; "
                f"every level must lie between 1 and {map_size}"
            )
        self.pyramid = tuple(pyramid)
        self.map_size = map_size

    def windows(self) -> list[tuple[int, int, int]]:
        """Return (level, window, stride) of each level."""
        strides = [self.map_size // n for n in self.pyramid]
        return [(n, self.map_size - (n - 1) * s, s) for n, s in zip(self.pyramid, strides)]

    def hybrid_forward(self, F, x):
        levels = [
            F.flatten(F.Pooling(x, kernel=(w, w), stride=(s, s), pool_type="max"))
            for _, w, s in self.windows()
        ]
        return F.concat(*levels, dim=1)

    def __repr__(self):
        return f"SpatialPyramidPooling({self.pyramid}, map_size={self.map_size})"
