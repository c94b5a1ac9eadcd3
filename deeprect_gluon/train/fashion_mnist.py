"""Prepare a net of the paper and its data for a training on Fashion-MNIST."""

from __future__ import annotations

from typing import Any

from .. import models
from ..data import Batches, fashion_mnist, shift_and_flip
from .config import Recipe
from .distributed import Workers
from .loop import Task


def build(name: str, **config) -> models.DeepRect:
    """Build a net for Fashion-MNIST's ten classes of grey images.

    The small nets take 28x28 images through their first layer for small images. Models A, B and C
    take 32x32 images: their published trunk ends in a map of 2x2 then.

    Parameters
    ----------
    name : str
        As in `deeprect_gluon.models`.
    config : dict
        Further arguments of `models.get_model`.
    """
    defaults: dict = {"input_size": 32, "pyramid": (2, 1)}
    if name.startswith("deeprect_small"):
        defaults = {"input_size": 28, "stem": "small_image"}
    return models.get_model(name, classes=10, in_channels=1, **{**defaults, **config})


def task(recipe: Recipe, workers: Workers) -> Task:
    """Build a recipe's net, and read the data that it is trained on.

    Parameters
    ----------
    recipe : Recipe
        Its `data` may have `augment`: shift training images by up to two pixels and mirror half of
        them.
    workers : Workers

    Returns
    -------
    Task
        The net is not initialised. The validation set is the test images; nothing is chosen by it.
    """
    net, config = build(**recipe.model), recipe.train
    size, augment = net.config["input_size"], recipe.data.get("augment", False)
    (images, labels), (test_images, test_labels) = map(fashion_mnist.load, ("train", "test"))
    part: dict[str, Any] = {"rank": workers.rank, "size": workers.size}
    batches = Batches(
        fashion_mnist.to_input(images, size),
        labels,
        config.batch_size,
        shuffle=True,
        seed=config.seed,
        augment=shift_and_flip if augment else None,
        **part,
    )
    return Task(
        net,
        batches,
        Batches(fashion_mnist.to_input(test_images, size), test_labels, 500, **part),
        f"{net.config['name']} on Fashion-MNIST",
        {
            "dataset": fashion_mnist.DATASET,
            "augment": augment,
            "init": recipe.init["rule"],
            "fan": recipe.init["fan"],
        },
    )
