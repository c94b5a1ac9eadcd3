"""SGD with momentum that updates a parameter in one pass over its memory."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from .errors import require

# MXNet updates smaller parameters: several of them in one call.
_SMALLEST = 1 << 16


def _is_ours(weight: mx.nd.NDArray, grad: mx.nd.NDArray) -> bool:
    return (
        weight.size >= _SMALLEST
        and weight.dtype == grad.dtype == np.float32
        and weight.stype == grad.stype == "default"
        and weight.context.device_type != "gpu"
    )


@mx.optimizer.register
class FusedSGD(mx.optimizer.SGD):
    """MXNet's SGD, faster on the CPU: `Trainer(parameters, "fusedsgd", {"momentum": 0.9, …})`.

    The update of a large float32 parameter is one pass over weight, gradient and momentum. All
    other parameters, and an SGD without momentum or with `clip_gradient`, use MXNet's own update.
    Arguments are those of `mxnet.optimizer.SGD`. Results do not depend on the number of threads,
    and differ from MXNet's by rounding.
    """

    def _update_impl(self, indices, weights, grads, states, multi_precision=False):
        if not isinstance(indices, (tuple, list)):
            indices, weights, grads, states = [indices], [weights], [grads], [states]
        possible = self.momentum > 0 and not self.clip_gradient and not multi_precision
        rest = []
        for parameter in zip(indices, weights, grads, states):
            index, weight, grad, velocity = parameter
            if not (possible and _is_ours(weight, grad)):
                rest.append(parameter)
                continue
            self._update_count(index)
            mx.nd.deeprect_sgd_update(
                weight,
                grad,
                velocity,
                lr=self._get_lrs([index])[0],
                wd=self._get_wds([index])[0],
                momentum=self.momentum,
                rescale_grad=self.rescale_grad,
                out=[weight, velocity],
            )
        if rest:
            super()._update_impl(*map(list, zip(*rest)), multi_precision)


def apply_multipliers(block: mx.gluon.SymbolBlock) -> None:
    """Give the parameters of an imported net the `lr_mult` and `wd_mult` that its graph states.

    SymbolBlock ignores them; weight decay then pushes the slopes of PReLUs to 0.

    Parameters
    ----------
    block : SymbolBlock
        As `SymbolBlock.imports` returns it.
    """
    require("block", block, mx.gluon.SymbolBlock)
    stated = block._cached_graph[1].attr_dict()
    for name, parameter in block.collect_params().items():
        for multiplier in ("lr_mult", "wd_mult"):
            value = stated.get(name, {}).get(f"__{multiplier}__", 1)
            setattr(parameter, multiplier, float(value))
