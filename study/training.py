"""Train nets of the study on Fashion-MNIST, and measure errors, curves and slopes."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Callable

import mxnet as mx
import numpy as np

from deeprect_gluon import initializer
from deeprect_gluon.data import Batches
from deeprect_gluon.data import fashion_mnist as data
from deeprect_gluon.data.batches import Augment
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import DeepRect
from deeprect_gluon.train import History, TrainConfig, Workers, evaluate, fashion_mnist, fit

from .claim import item

LEAKY_SLOPE = 0.01  # of Maas et al. 2013, with which the paper compares


def build(activation: str, **config) -> DeepRect:
    """Build a net for Fashion-MNIST; `activation` may also be "leaky_relu"."""
    if activation != "leaky_relu":
        return fashion_mnist.build(activation=activation, **config)
    net = fashion_mnist.build(activation="prelu_shared", **config)
    for slope in net.collect_params(".*alpha").values():
        slope.init = mx.init.Constant(LEAKY_SLOPE)
        slope.grad_req = "null"  # the slope is fixed
    return net


def initialize(net: DeepRect, rule: str | float, fan: str, seed: int) -> None:
    """Draw the weights by the rule "msra" or "xavier", or with a given standard deviation."""
    if isinstance(rule, str):
        initializer.initialize(net, rule, fan, seed)
    else:
        net.initialize(MSRA(seed=seed, stds=dict.fromkeys(rectifier_slopes(net), rule)))


def mean_slopes(net: DeepRect) -> dict[str, float]:
    """Return the mean slope of each layer by the name of the layer, in the order of layers."""
    slopes = net.collect_params(".*alpha")
    start, end = len(net.prefix), -len("_alpha")
    return {n[start:end]: float(p.data().asnumpy().mean()) for n, p in slopes.items()}


def _batches(net: DeepRect, split: str, scale: float, *arguments, **more) -> Batches:
    images, labels = data.load(split)
    inputs = data.to_input(images, net.config["input_size"])
    return Batches(scale * inputs, labels, *arguments, **more)


class _Watched(History):
    """A history that also keeps the result of `watch` at each row."""

    def __init__(self, watch: Callable[[], list[float]]):
        super().__init__()
        self._watch = watch
        self.seen: list[list[float]] = []

    def add(self, row) -> None:
        super().add(row)
        self.seen.append(self._watch())


def train(
    net: DeepRect, config: dict, seed: int, augment: Augment | None = None, scale: float = 1.0
) -> dict:
    """Train an initialised net on Fashion-MNIST and measure it on the test images.

    Parameters
    ----------
    net : DeepRect
    config : dict
        Arguments of `TrainConfig`, without the seed.
    seed : int
        For the order of the data and for dropout, which are then the same for every net.
    augment : callable, optional
        See `Batches`; by default images are not changed.
    scale : float
        Factor for the normalised images, whose variance is 1.

    Returns
    -------
    dict
        test_error (a fraction) and test_loss; train_loss (of the last steps) and mean_loss (over
        all steps), in nats. diverged is True if the loss became infinite, which ends the training;
        then the other values are those of guessing. curve has lists of step, train_loss and slopes
        (the mean slopes of the layers), with one element for each row of the history.
    """
    size = config.get("batch_size", 128)
    train_set = _batches(net, "train", scale, size, shuffle=True, seed=seed, augment=augment)
    history = _Watched(lambda: list(mean_slopes(net).values()))
    guessing = math.log(len(data.CLASSES))
    result: dict[str, Any] = {"test_error": 1 - 1 / len(data.CLASSES), "test_loss": guessing}
    result.update(train_loss=guessing, mean_loss=guessing, diverged=True)
    # An infinite loss is a result too: it is expected of some initialisations.
    with contextlib.suppress(FloatingPointError):
        fit(net, train_set, None, TrainConfig(seed=seed, **config), Workers(), history)
        measured = evaluate(net, _batches(net, "test", scale, 500))
        losses, steps = zip(*[(row.train_loss, row.step) for row in history.rows])
        result = {
            "test_error": measured["top1_error"],
            "test_loss": measured["loss"],
            "train_loss": losses[-1],
            "mean_loss": float(np.average(losses, weights=np.diff([0, *steps]))),
            "diverged": False,
        }
    result["curve"] = {
        "step": [row.step for row in history.rows],
        "train_loss": [round(row.train_loss, 5) for row in history.rows],
        "slopes": [[round(a, 5) for a in slopes] for slopes in history.seen],
    }
    return result


# A metric: the training losses of the curve.
loss_curve = item("curve", "train_loss")
