"""Gluon blocks."""

from __future__ import annotations

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
