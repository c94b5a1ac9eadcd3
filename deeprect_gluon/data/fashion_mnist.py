"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 70,000 grey images of 28x28 pixels, 10 classes."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

from ..errors import one_of, require, whole
from ..images import normalise, pad

DATASET = "fashion_mnist"
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Mean and standard deviation of the training pixels, on a scale of 0 to 1.
PREPROCESS: dict[str, Any] = {"size": 28, "mean": [0.2860], "std": [0.3530]}

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MIRRORS = (
    "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/dataset/fashion-mnist/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
# SHA-256 of the decompressed content, since distributions compress it differently; and SHA-1 of the
# compressed file on the mirrors.
FILES = {
    "train-images-idx3-ubyte": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "0cf37b0d40ed5169c6b3aba31069a9770ac9043d",
    ),
    "train-labels-idx1-ubyte": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "236021d52f1e40852b06a4c3008d8de8aef1e40b",
    ),
    "t10k-images-idx3-ubyte": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "626ed6a7c06dd17c0eec72fa3be1740f146a2863",
    ),
    "t10k-labels-idx1-ubyte": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        "17f9ab60e7257a1620f4ad76bbbaf857c3920701",
    ),
}
PREFIXES = {"train": "train", "test": "t10k"}


def load(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of a split.

    Three folders are searched for the files: `$DEEPRECT_DATA` (itself or its `fashion-mnist`), that
    of Debian's package `dataset-fashion-mnist`, and Gluon's (`$MXNET_HOME/datasets/fashion-mnist`).
    If none has them, they are downloaded into Gluon's.

    Parameters
    ----------
    split : {"train", "test"}
        60,000 or 10,000 images.

    Returns
    -------
    images : ndarray of uint8, shape (N, 28, 28)
    labels : ndarray of int32, shape (N,)
        Indices into `CLASSES`.

    Raises
    ------
    ValueError
        If the split is unknown, or a file is truncated or is not the published one.
    FileNotFoundError
        If a file is in none of them and cannot be downloaded.
    """
    one_of("split", split, *PREFIXES)
    prefix = PREFIXES[split]
    images, labels = _read(f"{prefix}-images-idx3-ubyte"), _read(f"{prefix}-labels-idx1-ubyte")
    return images, labels.astype(np.int32)


def to_input(images: np.ndarray, size: int = 28) -> np.ndarray:
    """Normalise images for a net, with a border of black up to `size` pixels.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 28, 28)
    size : int
        Height and width of the result; at least 28.

    Returns
    -------
    ndarray of float32, shape (N, 1, size, size)
    """
    require("images", images, np.ndarray)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"images have shape {images.shape}; give (N, 28, 28)")
    whole("size", size, 28)
    padded = pad(images[..., None], size)
    return normalise(padded, PREPROCESS["mean"], PREPROCESS["std"]).asnumpy()


def _gluon_folder() -> Path:
    return Path(mx.base.data_dir()) / "datasets" / "fashion-mnist"


def _find(name: str) -> Path:
    folders = [DEBIAN, _gluon_folder()]
    given = os.environ.get("DEEPRECT_DATA")
    if given:
        folders = [Path(given), Path(given) / "fashion-mnist", *folders]
    for folder in folders:
        for path in (folder / f"{name}.gz", folder / name):
            if path.exists():
                return path
    return _download(name)


def _download(name: str) -> Path:
    import pooch  # here, since most programs never need it

    fname, folder = f"{name}.gz", _gluon_folder()
    for mirror in MIRRORS:
        # Pooch raises OSError where the mirror fails and ValueError where the file is another.
        with contextlib.suppress(OSError, ValueError):
            return Path(pooch.retrieve(mirror + fname, f"sha1:{FILES[name][1]}", fname, folder))
    raise FileNotFoundError(
        f"{fname} is in none of $DEEPRECT_DATA, {DEBIAN} and {folder}, and no mirror "
        "answered; install Debian's package dataset-fashion-mnist, or put the four files of "
        "Fashion-MNIST into a folder and name it in DEEPRECT_DATA"
    )


def _read(name: str) -> np.ndarray:
    path, digest = _find(name), FILES[name][0]
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); fetch it again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(
            f"{path} is not the published {name}: its content has SHA-256 {found}, not {digest}; "
            "fetch it again"
        )
    # idx format: two zero bytes, the type (8 is uint8), the rank, then each extent in 32 bits.
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
