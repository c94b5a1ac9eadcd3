"""Test a net on an image: one view, ten views, dense views, or an ensemble (section 4).

Every function takes a net with `preprocess`, for its `mean` and `std`, and an image, uint8
(H, W, C) of any size. It returns the probabilities of the classes, float32 (classes,), averaged
over all views.
"""

from __future__ import annotations

from typing import Callable, Sequence

import mxnet as mx
import numpy as np

from ..errors import require, whole
from ..images import center_crop, normalise, resize_shorter, ten_crops
from ..models import Config, DeepRect
from .dense import dense_probabilities

_LONGEST_SIDE = 1 << 14  # pixels
View = Callable[..., np.ndarray]


def _to_input(net: DeepRect, images: np.ndarray) -> mx.nd.NDArray:
    if net.preprocess is None:
        raise ValueError(
            f"{net.config['name']} does not know its images' mean and std; set "
            "net.preprocess = Preprocess(size, mean, std), or models.imagenet.describe(net)"
        )
    x = normalise(images, net.preprocess.mean, net.preprocess.std)
    return x.as_in_context(net.output.weight.list_ctx()[0])


def _check(net: DeepRect, image: np.ndarray) -> None:
    require("net", net, DeepRect)
    require("image", image, np.ndarray)
    if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise ValueError(
            f"image is of {image.dtype} and shape {image.shape}; it must be uint8 (H, W, C)"
        )


def _resized(net: DeepRect, image: np.ndarray, side: int | None) -> np.ndarray:
    """Resize for crops of the net's input size; by default with the paper's ratio, 256 to 224."""
    _check(net, image)
    size = net.config["input_size"]
    side = round(size * 256 / 224) if side is None else whole("side", side, 1, _LONGEST_SIDE)
    if side < size:
        raise ValueError(f"a shorter side of {side} pixels has no crop of {size}x{size}")
    return resize_shorter(image, side)


def center_view(net: DeepRect, image: np.ndarray, side: int | None = None) -> np.ndarray:
    """Score the central crop of an image whose shorter side was resized to `side` pixels."""
    crop = center_crop(_resized(net, image, side), net.config["input_size"])
    return net(_to_input(net, crop[None])).softmax().asnumpy()[0]


def ten_view(net: DeepRect, image: np.ndarray, side: int | None = None) -> np.ndarray:
    """Score the corners, the centre and their mirror images (the paper's Tables 2 and 5)."""
    crops = ten_crops(_resized(net, image, side), net.config["input_size"])
    return net(_to_input(net, crops)).softmax().asnumpy().mean(axis=0)


def dense_view(
    net: DeepRect,
    image: np.ndarray,
    scales: Sequence[int] = (256, 384, 480),
    flip: bool = True,
    max_windows: int = 64,
    tile: int = 64,
) -> np.ndarray:
    """Score every window of the last map at several scales (the paper's Tables 4 and 6).

    Parameters
    ----------
    net : DeepRect
    image : ndarray of uint8, shape (H, W, C)
    scales : sequence of int
        Lengths of the shorter side, in pixels. At each of them the convolutions run once on the
        whole image; the averages of the scales are averaged.
    flip : bool
        Score the mirror image too.
    max_windows : int
        Windows of an image that the fully-connected layers compute together.
    tile : int
        Height and width of the part of the last map that the convolutions compute together. Both
        limit the memory. The maps of an ordinary photograph fit into one tile.

    Raises
    ------
    ValueError
        If a scale is too small for the net's window.
    """
    _check(net, image)
    require("scales", scales, tuple, list)
    config = Config(**net.config)
    probabilities = []
    for scale in scales:
        whole("a scale", scale, 1, _LONGEST_SIDE)
        if config.map_size(scale) < config.map_size():
            raise ValueError(
                f"at a scale of {scale} the last map is {config.map_size(scale)} high, less than "
                f"the window of {config.map_size()}; {config.input_size} is large enough"
            )
        resized = resize_shorter(image, scale)
        views = np.stack([resized, resized[:, ::-1]] if flip else [resized])
        windows = dense_probabilities(net, _to_input(net, views), max_windows, tile)
        probabilities.append(windows.mean(axis=(0, 1, 2)))
    return np.mean(probabilities, axis=0)


def ensemble(
    nets: Sequence[DeepRect], image: np.ndarray, view: View = center_view, **arguments
) -> np.ndarray:
    """Return the average of the probabilities of several nets with the same classes.

    Parameters
    ----------
    nets : sequence of DeepRect
    image : ndarray of uint8, shape (H, W, C)
    view : callable
        `center_view`, `ten_view` or `dense_view`.
    arguments : dict
        Further arguments of `view`.
    """
    require("nets", nets, tuple, list)
    return np.mean([view(net, image, **arguments) for net in nets], axis=0)


def top_errors(
    probabilities: np.ndarray, labels: np.ndarray, top: Sequence[int] = (1, 5)
) -> dict[int, float]:
    """Return, for each k in `top`, the fraction of labels that the k likeliest classes miss.

    Parameters
    ----------
    probabilities : ndarray, shape (N, classes)
    labels : ndarray of int, shape (N,)
    top : sequence of int
    """
    require("probabilities", probabilities, np.ndarray)
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    hits = ranked == np.asarray(labels)[:, None]
    return {k: float(1 - hits[:, :k].any(axis=1).mean()) for k in top}
