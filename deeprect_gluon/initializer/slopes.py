"""Find the slopes of a network's rectifiers, and initialise the network by them."""

from __future__ import annotations

from typing import Iterator, Mapping

import mxnet as mx

from .msra import MSRA


def _initial_slope(alpha: mx.gluon.Parameter) -> float:
    probe = mx.nd.empty((1,))
    mx.init.Zero()(mx.init.InitDesc(alpha.name, {"__init__": alpha.init}), probe)
    return float(probe.asscalar())


def _weights_and_rectifiers(block: mx.gluon.Block) -> Iterator[str | float]:
    """Yield the names of weights and the slopes of rectifiers, in the order of the blocks."""
    own = block._reg_params
    if isinstance(block, mx.gluon.nn.Activation):
        if block._act_type != "relu":
            raise ValueError(
                f"{block.name} is a {block._act_type}; the slopes of MSRA are for rectifiers only"
            )
        yield 0.0
    elif isinstance(block, mx.gluon.nn.LeakyReLU):
        yield float(block._alpha)
    if "weight" in own:
        yield str(own["weight"].name)
    if "alpha" in own:
        yield _initial_slope(own["alpha"])
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
    The factor (1 + a^2) / 2 is that of the rectifier after the layer in Eqn 14, the backward
    condition, and that of the rectifier before it in Eqn 10, the forward condition. If all
    rectifiers are of the same kind, the two are equal. No rectifier follows the last layer: it
    takes the slope of the one before it.
    """
    slopes: dict[str, float] = {}
    waiting: str | None = None  # the weight whose rectifier has not come yet
    last = 1.0
    for found in _weights_and_rectifiers(net):
        if isinstance(found, float):
            last = found
            if waiting:
                slopes[waiting] = found
            waiting = None
        else:
            if waiting:
                slopes[waiting] = 1.0
            waiting = found
    if waiting:
        slopes[waiting] = last
    return slopes


def paper_initializer(net: mx.gluon.Block, seed: int = 0) -> MSRA:
    """Return the setting of the paper's large models, meant for images that are not normalised.

    The convolutions take the fan-out form. The fully-connected layers take a standard deviation of
    0.01, and the last of them 0.001. That is less than the derived value: inputs of about -128 to
    128 must not overflow the softmax (section 2.2). This project normalises images; for those,
    `MSRA(rectifier_slopes(net), fan="out")` derives every layer.

    Parameters
    ----------
    net : Block
        A sequential network of convolutions and fully-connected layers (Dense).
    seed : int
        See `MSRA`.

    Returns
    -------
    MSRA

    Raises
    ------
    ValueError
        If an activation is not a rectifier.
    """
    slopes = rectifier_slopes(net)
    parameters = net.collect_params()
    connected = [name for name in slopes if len(parameters[name].shape) == 2]
    stds = dict.fromkeys(connected[:-1], 0.01)
    stds.update(dict.fromkeys(connected[-1:], 0.001))
    return MSRA(slopes, fan="out", seed=seed, stds=stds)


def initialize(
    net: mx.gluon.HybridBlock, rule: str, fan: str, seed: int, ctx: mx.Context | None = None
) -> None:
    """Draw the weights by a rule of the paper's section 2.2.

    Parameters
    ----------
    net : DeepRect
    rule : {"msra", "xavier"}
        Variance 2 / ((1 + a^2) n), Eqn. 15; or 1 / n, the linear case that the paper compares with.
    fan : {"in", "out"}
    seed : int
    ctx : Context, optional
        By default the CPU.
    """
    slopes: dict[str, Mapping[str, float] | float] = {
        "msra": rectifier_slopes(net),
        "xavier": 1.0,
    }
    if rule not in slopes:
        raise ValueError(f"init={rule!r} is not known; use 'msra' or 'xavier'")
    net.initialize(MSRA(slopes[rule], fan=fan, seed=seed), ctx=ctx, force_reinit=True)
