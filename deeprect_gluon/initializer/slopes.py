"""Find the slopes of a network's rectifiers, and initialise the network by them."""

from __future__ import annotations

import json
import math
import warnings

import mxnet as mx
import numpy as np

from ..errors import one_of, require
from ..operators import portable_operators
from .msra import MSRA, Geometry, Slopes

_LAYERS = ("Convolution", "Deconvolution", "FullyConnected")
# Neither linear nor rectifiers: also what nets of functions make Swish and GELU of.
_OTHERS = ("sigmoid", "tanh", "softsign", "erf", "hard_sigmoid", "exp", "square")


def _initial_slope(parameter: mx.gluon.Parameter) -> float:
    """Return the root of the mean square of slopes that are set, or will be."""
    if parameter._data is not None:
        return float(np.sqrt(np.square(parameter.data().asnumpy()).mean()))
    rule = parameter.init
    if isinstance(rule, str):
        rule = mx.init.create(rule)
    if isinstance(rule, mx.init.Constant):
        return float(np.sqrt(np.mean(np.square(np.asarray(rule.value, float)))))
    if isinstance(rule, (mx.init.Zero, mx.init.One)):
        return float(isinstance(rule, mx.init.One))
    raise ValueError(
        f"the initial slopes {parameter.name} are random, or not known; initialise them first"
    )


def _rectifier(node: dict, inputs: list[dict], parameters: mx.gluon.ParameterDict) -> float | None:
    """Return the slope of a rectifier; None if the node is none, but linear."""
    op, attrs = node["op"], node.get("attrs", {})
    kind = attrs.get("act_type", "leaky" if op == "LeakyReLU" else op)
    if kind == "relu" or (op == "_maximum_scalar" and float(attrs["scalar"]) == 0):
        return 0.0
    if op == "clip" and float(attrs["a_min"]) == 0:  # ReLU6
        return 0.0
    if kind == "leaky":
        return float(attrs.get("slope", 0.25))
    if kind == "prelu":
        return _initial_slope(parameters[inputs[1]["name"]])
    if op in ("Activation", "LeakyReLU") or op in _OTHERS:
        raise ValueError(f"{node['name']} is a {kind}; the slopes of MSRA are for rectifiers only")
    return None


def _trace(net: mx.gluon.Block) -> list[dict]:
    try:
        with portable_operators():
            symbol = net(mx.sym.var("data"))
    except Exception as error:
        raise ValueError(
            f"{net.name} cannot be called with a Symbol as its only input; give MSRA the slopes by "
            "the names of the weights"
        ) from error
    outputs = symbol if isinstance(symbol, (list, tuple)) else [symbol]
    return json.loads(mx.sym.Group(outputs).tojson())["nodes"]


def _geometry(node: dict) -> Geometry:
    attrs = node.get("attrs", {})
    return Geometry(
        int(attrs.get("num_group", 1)),
        attrs.get("layout", "").endswith("C"),
        node["op"] == "Deconvolution",
    )


def rectifier_slopes(net: mx.gluon.Block) -> Slopes:
    """Return the initial slope of the rectifier that belongs to each weight of a network.

    Parameters
    ----------
    net : Block
        It can be called with one Symbol. Blocks, functions and lambdas count alike.

    Returns
    -------
    dict of str to float
        By the name of the weight: 0 for a ReLU and a ReLU6, the slope of a leaky one, the initial
        slope of a PReLU (the root of the mean square, if they differ); 1, the linear case of
        Eqn 15, for a layer that another follows without a rectifier. Normalisation, pooling, sums
        and the like may stand between a layer and its rectifier. The dictionary also holds the
        groups and layouts of the convolutions, for `MSRA`.

    Raises
    ------
    ValueError
        If an activation is not a rectifier, if initial slopes are random, or if the net cannot be
        called with a Symbol.

    Warns
    -----
    UserWarning
        If a weight belongs to an operator other than a convolution or a fully-connected layer.

    Notes
    -----
    The factor (1 + a^2) / 2 is that of the rectifier after the layer in Eqn 14, the backward
    condition, and that of the rectifier before it in Eqn 10, the forward condition. If all
    rectifiers are of the same kind, the two are equal. No rectifier follows the last layer: it
    takes the slope of the one before it.
    """
    require("net", net, mx.gluon.Block)
    slopes = Slopes()
    last = 1.0
    waiting: list[dict[str, None]] = []  # by node: the weights whose rectifier has not come yet
    nodes, parameters = _trace(net), net.collect_params()
    for node in nodes:
        inputs = [nodes[i] for i, *_ in node["inputs"]]
        reaching = {name: None for i, *_ in node["inputs"] for name in waiting[i]}
        weights = [n["name"] for n in inputs if n["op"] == "null" and n["name"].endswith("weight")]
        if weights:
            slopes.update({name: 1.0 for name in reaching if math.isnan(slopes[name])})
            if node["op"] not in _LAYERS:
                warnings.warn(
                    f"{weights[0]} belongs to {node['op']}, which MSRA does not know; it is drawn "
                    "as that of a fully-connected layer or of a convolution without groups",
                    stacklevel=2,
                )
            for name in weights:
                slopes.setdefault(name, math.nan)
                slopes.geometry[name] = _geometry(node)
            waiting.append(dict.fromkeys(weights))
            continue
        slope = _rectifier(node, inputs, parameters)
        if slope is None:
            waiting.append(reaching)
            continue
        last = slope
        slopes.update({name: slope for name in reaching if math.isnan(slopes[name])})
        waiting.append({})
    slopes.update({name: last for name, slope in slopes.items() if math.isnan(slope)})
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
    slopes: dict[str, Slopes | float] = {
        "msra": rectifier_slopes(net),
        "xavier": 1.0,
    }
    one_of("init", rule, *slopes)
    net.initialize(MSRA(slopes[rule], fan=fan, seed=seed), ctx=ctx, force_reinit=True)
