"""Trainings of the study: from a configuration and a seed to errors, curves and slopes."""

from __future__ import annotations

import contextlib
import math
from typing import Callable

import mxnet as mx
import numpy as np

from deeprect_gluon import initializer
from deeprect_gluon.data import Batches
from deeprect_gluon.data import fashion_mnist as data
from deeprect_gluon.data.batches import Augment
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import DeepRect
from deeprect_gluon.train import History, TrainConfig, Workers, evaluate, fashion_mnist, fit

LEAKY_SLOPE = 0.01  # that of Maas et al. 2013, which the paper compares with


def build(activation: str, **config) -> DeepRect:
    """Build a net for Fashion-MNIST; beside the activations of `models`, "leaky_relu"."""
    if activation != "leaky_relu":
        return fashion_mnist.build(activation=activation, **config)
    net = fashion_mnist.build(activation="prelu_shared", **config)
    for slope in net.collect_params(".*alpha").values():
        slope.init = mx.init.Constant(LEAKY_SLOPE)
        slope.grad_req = "null"  # held where it is
    return net


def initialize(net: DeepRect, rule: str | float, fan: str, seed: int) -> None:
    """Draw the weights: by "msra" or "xavier", or with a standard deviation given as a number."""
    if isinstance(rule, str):
        initializer.initialize(net, rule, fan, seed)
    else:
        net.initialize(MSRA(seed=seed, stds=dict.fromkeys(rectifier_slopes(net), rule)))


def mean_slopes(net: DeepRect) -> dict[str, float]:
    """Return the mean slope of each layer by its name, in the order of the layers."""
    slopes = net.collect_params(".*alpha")
    start, end = len(net.prefix), -len("_alpha")
    return {n[start:end]: float(p.data().asnumpy().mean()) for n, p in slopes.items()}


def _batches(net: DeepRect, split: str, scale: float, *arguments, **more) -> Batches:
    images, labels = data.load(split)
    inputs = data.to_input(images, net.config["input_size"])
    return Batches(scale * inputs, labels, *arguments, **more)


class _Watched(History):
    """A history that also keeps what `watch` returns at each row."""

    def __init__(self, watch: Callable[[], object]):
        super().__init__()
        self._watch, self.seen = watch, []

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
        Of the order of the data and of dropout: the same for every net.
    augment : callable, optional
        See `Batches`; by default images are taken as they are.
    scale : float
        Factor on the normalised images; 1 gives a variance of 1.

    Returns
    -------
    dict
        test_error (a fraction), test_loss; train_loss (of the last steps) and mean_loss (over all
        steps), in nats; diverged: whether the loss became infinite, which ended the training, and
        then the figures are those of guessing; curve: lists of step, train_loss and the layers'
        mean slopes, one point for each row of the history.
    """
    size = config.get("batch_size", 128)
    train_set = _batches(net, "train", scale, size, shuffle=True, seed=seed, augment=augment)
    history = _Watched(lambda: list(mean_slopes(net).values()))
    guessing = math.log(len(data.CLASSES))
    result = {"test_error": 1 - 1 / len(data.CLASSES), "test_loss": guessing}
    result.update(train_loss=guessing, mean_loss=guessing, diverged=True)
    # A loss that becomes infinite is a result: of some initialisations it is expected.
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


def loss_curve(result: dict) -> list[float]:
    """Return the training losses along the curve of what `train` gave."""
    return result["curve"]["train_loss"]
