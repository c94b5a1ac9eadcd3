"""Measure and predict the variances of activations and gradients through a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, NamedTuple

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from ..errors import require, whole
from ..nn import ConvPReLU
from .msra import Geometry


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
    """The signals at all weight layers; its text is a table."""

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


class _Step(NamedTuple):
    """A layer with weights, or one without, such as a rectifier with its factor (1 + a^2) / 2."""

    run: Callable[[mx.nd.NDArray], mx.nd.NDArray]
    weight: mx.gluon.Parameter | None = None
    gain: float = 1.0
    geometry: Geometry = Geometry()

    def fans(self) -> tuple[int, int]:
        assert self.weight is not None
        return self.geometry.fans(self.weight.shape)


def _slope_gain(alpha: mx.gluon.Parameter) -> float:
    return float((1 + np.square(alpha.data().asnumpy())).mean() / 2)


def _steps(block: mx.gluon.Block) -> Iterator[_Step]:
    """Yield the layers of a sequential network, or of one with `features` and `output`."""
    own = block._reg_params
    if isinstance(block, (nn.Sequential, nn.HybridSequential)):
        for child in block._children.values():
            yield from _steps(child)
    elif hasattr(block, "features") and hasattr(block, "output"):
        yield from _steps(block.features)
        yield from _steps(block.output)
    elif isinstance(block, ConvPReLU):
        parameters = (own["weight"].data(), own["bias"].data())
        yield _Step(lambda x: block.convolve(mx.nd, x, *parameters), own["weight"])
        if "alpha" in own:
            alpha = own["alpha"].data()
            yield _Step(lambda z: block.rectify(z, alpha), gain=_slope_gain(own["alpha"]))
        else:
            yield _Step(block.rectify, gain=0.5)
    elif block._children:
        raise ValueError(
            f"{block.name} ({type(block).__name__}) is neither a sequence nor a single layer; "
            "give a sequential network with its activations as layers of their own"
        )
    elif isinstance(block, nn.Dropout):
        return
    elif isinstance(block, nn.Activation) and block._act_type == "relu":
        yield _Step(block, gain=0.5)
    elif isinstance(block, nn.LeakyReLU):
        yield _Step(block, gain=(1 + block._alpha**2) / 2)
    elif "alpha" in own:
        yield _Step(block, gain=_slope_gain(own["alpha"]))
    else:
        settings = getattr(block, "_kwargs", {})  # of Gluon's convolutions
        geometry = Geometry(
            settings.get("num_group", 1),
            settings.get("layout", "").endswith("C"),
            getattr(block, "_op_name", None) == "Deconvolution",
        )
        yield _Step(block, own.get("weight"), geometry=geometry)


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
        such `features` and `output`. It runs without its dropout; its gradients are left alone.
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
    require("net", net, mx.gluon.Block)
    require("x", x, mx.nd.NDArray)
    seed = whole("seed", seed, 0, 2**63)
    net(x)  # gives deferred parameters their shapes and values
    passed = []
    for step in _steps(net):
        x = x.detach()
        x.attach_grad()
        # Outside of training MXNet's max pooling has a wrong gradient (CONTRIBUTING.md).
        with mx.autograd.record(train_mode=True):
            y = step.run(x)
        passed.append((step, x, y))
        x = y
    # Each layer is a graph of its own, since MXNet gives gradients only at the ends of a graph.
    gradient = mx.nd.array(np.random.default_rng(seed).standard_normal(x.shape))
    expected, backward = _mean_square(gradient), []
    for step, x, y in reversed(passed):
        (gradient,) = mx.autograd.grad(y, [x], [gradient], train_mode=True)
        expected *= step.gain
        if step.weight is not None:
            expected *= step.fans()[1] * _mean_square(step.weight.data())
            backward.append((_mean_square(gradient), expected))

    layers = []
    expected = _mean_square(passed[0][1])
    for step, _, y in passed:
        expected *= step.gain
        if step.weight is not None:
            fan_in, fan_out = step.fans()
            weight = _mean_square(step.weight.data())
            expected *= fan_in * weight
            forward = (_mean_square(y), expected)
            name = step.weight.name
            layers.append(LayerVariance(name, fan_in, fan_out, weight, *forward, *backward.pop()))
    if not layers:
        raise ValueError(f"{net.name} has no layer with weights to report on")
    return VarianceReport(layers)
