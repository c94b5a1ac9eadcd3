"""Describe the datasets that networks are published for, and measure networks on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

import mxnet as mx
import numpy as np

from deeprect_gluon.data import Batches, fashion_mnist, imagenet_facts
from deeprect_gluon.data.imagenet import DATASET as IMAGENET
from deeprect_gluon.data.imagenet import ImageRecords, data_folder, decode
from deeprect_gluon.data.records import Shards
from deeprect_gluon.errors import suggest
from deeprect_gluon.images import Preprocess
from deeprect_gluon.train import evaluate


@dataclass(frozen=True)
class Dataset:
    """Classes and images of a dataset that fits in memory.

    Parameters
    ----------
    classes : tuple of str
        In the order of the net's outputs.
    mean, std : sequence of float
        Of each channel, for pixels from 0 to 1.
    test_set : callable
        Returns the test images (uint8, (N, H, W, C)) and labels (int32, (N,)), on which published
        errors are measured.
    training_images : callable
        Returns training images (uint8, (N, H, W, C)), for calibration of quantised nets.
    """

    classes: tuple
    mean: tuple
    std: tuple
    test_set: Callable[[], tuple]
    training_images: Callable[[], np.ndarray]

    def preprocess(self, size: int) -> Preprocess:
        """Return the preprocessing for inputs of `size` x `size` pixels."""
        return Preprocess(size, tuple(self.mean), tuple(self.std), border=True)

    def measure(self, net: mx.gluon.Block, size: int) -> dict:
        """Return top1_error (a fraction), loss (nats) and images (their number) of a net."""
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


class _Images(Sequence):
    """The images of a split of shards; each is decoded when it is read."""

    def __init__(self, shards: Shards):
        self._shards = shards

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, at):
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return decode(self._shards.read(range(len(self))[at])[0])


class ImageNet:
    """ImageNet, or other images in shards of the same form (scripts/prepare_imagenet.py).

    It has the same methods as `Dataset`, but does not keep images in memory. Errors are measured on
    the central crops of the split "val".

    Parameters
    ----------
    folder : path, optional
        By default `$DEEPRECT_DATA/imagenet`.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder does not contain the shards.
    """

    mean, std = imagenet_facts.MEAN, imagenet_facts.STD

    def __init__(self, folder: Path | str | None = None):
        self.folder = data_folder(folder)
        self.classes = Shards(self.folder, "val").classes

    def preprocess(self, size: int) -> Preprocess:
        return imagenet_facts.preprocess(size)

    def measure(self, net: mx.gluon.Block, size: int) -> dict:
        """Return top1_error and top5_error (fractions), loss (nats) and images of a net."""
        return evaluate(net, ImageRecords(self.folder, "val", 128, train=False, input_size=size))

    def training_images(self) -> Sequence[np.ndarray]:
        return _Images(Shards(self.folder, "train"))


def get_dataset(name: str, folder: Path | str | None = None) -> Dataset | ImageNet:
    """Return a dataset by name.

    Parameters
    ----------
    name : str
    folder : path, optional
        Where the shards of ImageNet are; see `ImageNet`.

    Raises
    ------
    ValueError
        If the name is unknown.
    FileNotFoundError
        If the shards of ImageNet are not in the folder.
    """
    if name == IMAGENET:
        return ImageNet(folder)
    if name not in _DATASETS:
        raise ValueError(
            f"no dataset {name!r} to measure on; {suggest(name, [*_DATASETS, IMAGENET])}"
        )
    return _DATASETS[name]


def dataset_of(config: dict) -> Dataset | ImageNet:
    """Return the dataset that a training's config.json names; see `get_dataset`.

    The shards of ImageNet are those that the training used, or `$DEEPRECT_DATA/imagenet` if that
    folder no longer exists.
    """
    folder = config.get("data", {}).get("folder")
    there = folder is not None and Path(folder).is_dir()
    return get_dataset(config["dataset"], folder if there else None)
