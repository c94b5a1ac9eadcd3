"""The datasets that a net can be published for: their classes and how a net is measured on them."""

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


class _Images(Sequence):
    """The images of a split of shards, decoded when they are asked for."""

    def __init__(self, shards: Shards):
        self._shards = shards

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, at):
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return decode(self._shards.read(range(len(self))[at])[0])


class ImageNet:
    """ImageNet, or images in the same form, in shards that scripts/prepare_imagenet.py made.

    It has what a `Dataset` has, but does not hold the images in memory: the published figures are
    those of the central crops of the split "val".

    Parameters
    ----------
    folder : path, optional
        By default `$DEEPRECT_DATA/imagenet`.

    Raises
    ------
    FileNotFoundError, ValueError
        If it does not hold the shards.
    """

    mean, std = imagenet_facts.MEAN, imagenet_facts.STD

    def __init__(self, folder: Path | str | None = None):
        self.folder = data_folder(folder)
        self.classes = Shards(self.folder, "val").classes

    def preprocess(self, size: int) -> Preprocess:
        return imagenet_facts.preprocess(size)

    def measure(self, net: mx.gluon.Block, size: int) -> dict:
        """Return loss, errors and images of a net with inputs of `size`."""
        return evaluate(net, ImageRecords(self.folder, "val", 128, train=False, input_size=size))

    def training_images(self) -> Sequence[np.ndarray]:
        return _Images(Shards(self.folder, "train"))


def get_dataset(name: str, folder: Path | str | None = None) -> Dataset | ImageNet:
    """Return a dataset by name.

    Parameters
    ----------
    name : str
    folder : path, optional
        Where ImageNet's shards are; see `ImageNet`.

    Raises
    ------
    ValueError
        If nothing can be measured on it.
    FileNotFoundError
        If it is ImageNet, and not there.
    """
    if name == IMAGENET:
        return ImageNet(folder)
    if name not in _DATASETS:
        raise ValueError(
            f"no dataset {name!r} to measure on; {suggest(name, [*_DATASETS, IMAGENET])}"
        )
    return _DATASETS[name]


def dataset_of(config: dict) -> Dataset | ImageNet:
    """Return the dataset of a training by its config.json; see `get_dataset`.

    ImageNet's shards are those of the training, or `$DEEPRECT_DATA/imagenet` where those are not.
    """
    folder = config.get("data", {}).get("folder")
    there = folder is not None and Path(folder).is_dir()
    return get_dataset(config["dataset"], folder if there else None)
