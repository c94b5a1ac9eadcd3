"""Variances of activations and gradients through a network, measured and predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterator

import mxnet as mx
import numpy as np
from mxnet.gluon import nn


@dataclass
class LayerVariance:
    """The signals at one weight layer l, in the notation of the paper's section 2.2.

    Attributes
    ----------
    name : str
        Of the weight.
    fan_in, fan_out : int
        n_l = k^2 c and k^2 d.
    weight : float
        Var[w_l].
    forward, forward_expected : float
        Mean square of the layer's output y_l, as measured and by Eqns 8 and 15.
    backward, backward_expected : float
        Mean square of the gradient of its input, Delta x_l, as measured and by Eqns 12 and 15.
    """

    name: str
    fan_in: int
    fan_out: int
    weight: float
    forward: float
    forward_expected: float
    backward: float
    backward_expected: float


@dataclass
class VarianceReport:
    layers: list[LayerVariance]

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        lines = [
            f"{'weight':<{width}}  {'Var[w]':>9}  {'E[y^2]':>9}  {'expected':>9}"
            f"  {'E[dx^2]':>9}  {'expected':>9}"
        ]
        for v in self.layers:
            values = (v.weight, v.forward, v.forward_expected, v.backward, v.backward_expected)
            lines.append(f"{v.name:<{width}}  " + "  ".join(f"{value:9.3g}" for value in values))
        return "\n".join(lines)


def _sequence(block: mx.gluon.Block) -> Iterator[mx.gluon.Block]:
    """Yield the layers of a sequential network, or of one with `features` and `output`."""
    if isinstance(block, (nn.Sequential, nn.HybridSequential)):
        for child in block._children.values():
            yield from _sequence(child)
    elif hasattr(block, "features") and hasattr(block, "output"):
        yield from _sequence(block.features)
        yield from _sequence(block.output)
    elif block._children:
        raise ValueError(
            f"{block.name} ({type(block).__name__}) is neither a sequence nor a single layer; "
            "give a sequential network with its activations as layers of their own"
        )
    else:
        yield block


def _gain(block: mx.gluon.Block) -> float:
    """Return the factor (1 + a^2) / 2 of a rectifier, and 1 of any other layer."""
    if isinstance(block, nn.Activation) and block._act_type == "relu":
        return 0.5
    if isinstance(block, nn.LeakyReLU):
        return (1 + block._alpha**2) / 2
    if "alpha" in block._reg_params:
        return float((1 + np.square(block.alpha.data().asnumpy())).mean() / 2)
    return 1.0


def _mean_square(x: mx.nd.NDArray) -> float:
    return float(np.square(x.asnumpy(), dtype=np.float64).mean())


def variance_report(net: mx.gluon.Block, x: mx.nd.NDArray, seed: int = 0) -> VarianceReport:
    """Measure how the variance of activations and of gradients goes through a network.

    The expected values are products over the layers, from the measured variances of the weights:
    Var[y_l] = (1 + a^2)/2 n_l Var[w_l] Var[y_(l-1)] and
    Var[dx_l] = (1 + a^2)/2 k^2 d Var[w_l] Var[dx_(l+1)] (Eqns 8, 12, 15), a the slope of the
    rectifier between the two layers and the factor 1 where there is none. Like the paper they
    leave out poolings, strides and the borders of padded maps.

    Parameters
    ----------
    net : Block
        Initialised; a sequential network with its activations as layers of their own, or one with
        such `features` and `output`. It runs as in inference; its gradients are left alone.
    x : NDArray
        A batch of inputs.
    seed : int
        Of the gradient that enters at the output: normal, of variance 1.

    Returns
    -------
    VarianceReport
        Its text is a table.

    Raises
    ------
    ValueError
        If the network is not such a sequence, or has no weights.
    """
    steps = []
    for block in _sequence(net):
        x = x.detach()
        x.attach_grad()
        with mx.autograd.record(train_mode=False):
            y = block(x)
        steps.append((block, x, y))
        x = y
    # Each layer is a graph of its own: MXNet gives gradients only at the ends of a graph.
    gradient = mx.nd.array(np.random.default_rng(seed).standard_normal(x.shape))
    expected_backward, backward = _mean_square(gradient), []
    for block, x, y in reversed(steps):
        (gradient,) = mx.autograd.grad(y, [x], [gradient], train_mode=False)
        expected_backward *= _gain(block)
        if "weight" in block._reg_params:
            shape = block.weight.shape
            fan_out = shape[0] * math.prod(shape[2:])
            expected_backward *= fan_out * _mean_square(block.weight.data())
            backward.append((_mean_square(gradient), expected_backward))

    layers = []
    expected_forward = _mean_square(steps[0][1])
    for block, _, y in steps:
        expected_forward *= _gain(block)
        if "weight" in block._reg_params:
            shape = block.weight.shape
            weight = _mean_square(block.weight.data())
            fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
            expected_forward *= fan_in * weight
            forward = (_mean_square(y), expected_forward)
            layers.append(
                LayerVariance(block.weight.name, fan_in, fan_out, weight, *forward, *backward.pop())
            )
    if not layers:
        raise ValueError(f"{net.name} has no layer with weights to report on")
    return VarianceReport(layers)
