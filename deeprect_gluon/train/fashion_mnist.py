"""The training that scripts share: a net of the paper on Fashion-MNIST, from seed to run folder."""

from __future__ import annotations

from pathlib import Path

import mxnet as mx

from .. import models
from ..data import Batches, fashion_mnist, shift_and_flip
from ..initializer import initialize as initialize
from . import loop
from .config import TrainConfig
from .distributed import Workers
from .history import History


def build(name: str, **config) -> mx.gluon.HybridBlock:
    """Build a net for Fashion-MNIST's ten classes of grey images.

    The small nets take 28x28 images through their first layer for small images; A, B and C take
    32x32, on which their published trunk ends in a map of 2x2.

    Parameters
    ----------
    name : str
        As in `deeprect_gluon.models`.
    config : dict
        Further arguments of `models.get_model`.
    """
    if name.startswith("deeprect_small"):
        defaults = {"input_size": 28, "stem": "small_image"}
    else:
        defaults = {"input_size": 32, "pyramid": (2, 1)}
    return models.get_model(name, classes=10, in_channels=1, **{**defaults, **config})


def test_batches(net: mx.gluon.HybridBlock, rank: int = 0, size: int = 1) -> Batches:
    """Return the test images in the form that a net takes."""
    images, labels = fashion_mnist.load("test")
    inputs = fashion_mnist.to_input(images, net.config["input_size"])
    return Batches(inputs, labels, 500, rank=rank, size=size)


def train(
    net: mx.gluon.HybridBlock,
    config: TrainConfig,
    folder: Path,
    workers: Workers,
    augment: bool = False,
    validate: bool = True,
    resume: bool = False,
    **description,
) -> History:
    """Train an initialised net; the first worker fills the run's folder (see `Run`).

    Parameters
    ----------
    net : DeepRect
    config : TrainConfig
    folder : Path
    workers : Workers
    augment : bool
        Shift training images by up to two pixels and mirror half of them.
    validate : bool
        Measure the error on the test images after each epoch. Nothing is chosen by it.
    resume, description
        See `loop.train`.
    """
    images, labels = fashion_mnist.load("train")
    batches = Batches(
        fashion_mnist.to_input(images, net.config["input_size"]),
        labels,
        config.batch_size,
        shuffle=True,
        seed=config.seed,
        augment=shift_and_flip if augment else None,
        rank=workers.rank,
        size=workers.size,
    )
    validation = test_batches(net, workers.rank, workers.size) if validate else None
    return loop.train(
        net,
        batches,
        validation,
        config,
        folder,
        workers,
        title=f"{net.config['name']} on Fashion-MNIST",
        resume=resume,
        dataset=fashion_mnist.DATASET,
        augment=augment,
        **description,
    )
