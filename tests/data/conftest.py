"""A small dataset in ImageNet's layout, made once for all tests, and shards of other images."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeprect_gluon.data import small_imagenet
from deeprect_gluon.data.imagenet_sources import scan_classes
from deeprect_gluon.data.prepare import find_classes, prepare
from deeprect_gluon.data.shard import Packing


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """10 classes of 6 training and 2 validation images, as folders and as archives."""
    folder = tmp_path_factory.mktemp("small")
    small_imagenet.write(folder, classes=10, images=6, val_images=2)
    small_imagenet.write_archives(folder)
    return folder


@pytest.fixture(scope="session")
def records(small, tmp_path_factory):
    """Shards of the small dataset."""
    output = tmp_path_factory.mktemp("records")
    for split in ("train", "val"):
        sources = scan_classes(small / split)
        prepare(output, split, sources, find_classes(sources), Packing(images_per_shard=16))
    return output


@pytest.fixture(scope="session")
def pack_arrays(tmp_path_factory):
    """Return a function that packs images, each a class of its own, so that a label names one.

    The shards are not shuffled in the sense that label i is image i; the images are stored as
    JPEGs of the highest quality.
    """

    def pack(images, split="train", images_per_shard=10) -> Path:
        folder = tmp_path_factory.mktemp("arrays")
        for i, image in enumerate(images):
            path = folder / "images" / f"n{i:08d}" / f"image_{i}.JPEG"
            path.parent.mkdir(parents=True)
            Image.fromarray(image).save(path, quality=100, subsampling=0)
        sources = scan_classes(folder / "images")
        packing = Packing(images_per_shard=images_per_shard)
        prepare(folder, split, sources, find_classes(sources), packing)
        return folder

    return pack


@pytest.fixture(scope="session")
def numbered(pack_arrays):
    """23 noisy images of several sizes, each a class of its own, as split "train"."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(40, 90, (23, 2))
    return pack_arrays([rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes])


@pytest.fixture
def encode():
    """Return a function that encodes a picture."""

    def encoded(picture, kind, **options) -> bytes:
        result = io.BytesIO()
        picture.save(result, kind, **options)
        return result.getvalue()

    return encoded
