"""The datasets that a net can be published for: their classes and how a net is measured on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import mxnet as mx
import numpy as np

from deeprect_gluon.data import Batches, fashion_mnist
from deeprect_gluon.images import Preprocess
from deeprect_gluon.train import evaluate

from .index import suggest


@dataclass(frozen=True)
class Dataset:
    """What publishing needs of a dataset.

    Parameters
    ----------
    classes : tuple of str
        In the order of the net's outputs.
    mean, std : sequence of float
        Of each channel, on a scale of 0 to 1.
    test_set : callable
        Returns the images (uint8, (N, H, W, C)) and labels (int32, (N,)) of the published figures.
    training_images : callable
        Returns images (uint8, (N, H, W, C)) by which a trained net can be calibrated.
    """

    classes: tuple
    mean: tuple
    std: tuple
    test_set: Callable[[], tuple]
    training_images: Callable[[], np.ndarray]

    def preprocess(self, size: int) -> Preprocess:
        return Preprocess(size, tuple(self.mean), tuple(self.std), border=True)

    def measure(self, net: mx.gluon.Block, size: int) -> dict:
        """Return top1_error (a fraction), loss (nats) and images of a net with inputs of `size`."""
        images, labels = self.test_set()
        return evaluate(net, Batches(self.preprocess(size)(images).asnumpy(), labels, 250))


def _fashion_mnist_test_set() -> tuple[np.ndarray, np.ndarray]:
    images, labels = fashion_mnist.load("test")
    return images[..., None], labels


def _fashion_mnist_training_images() -> np.ndarray:
    return fashion_mnist.load("train")[0][..., None]


_DATASETS = {
    "fashion_mnist": Dataset(
        classes=fashion_mnist.CLASSES,
        mean=fashion_mnist.PREPROCESS["mean"],
        std=fashion_mnist.PREPROCESS["std"],
        test_set=_fashion_mnist_test_set,
        training_images=_fashion_mnist_training_images,
    )
}


def get_dataset(name: str) -> Dataset:
    """Return a dataset by name; ValueError if nothing can be measured on it."""
    if name not in _DATASETS:
        raise ValueError(f"no dataset {name!r} to measure on; {suggest(name, _DATASETS)}")
    return _DATASETS[name]
