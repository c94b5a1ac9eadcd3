"""Resize, crop and normalise images, uint8 arrays (H, W, C), for a net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import mxnet as mx
import numpy as np
from PIL import Image

from ..errors import one_of, require, whole
from .decoding import MOST_PIXELS


def resized_shape(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Return height and width of an image (H, W, ...) whose shorter side becomes `side` pixels."""
    height, width = shape[:2]
    scale = side / min(height, width)
    return max(side, round(height * scale)), max(side, round(width * scale))


def resize_shorter(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image resized so that its shorter side has `side` pixels (bicubic, antialiased).

    Raises
    ------
    ValueError
        If it is so long a strip that the result would have more pixels than an image that is read.
    """
    height, width = resized_shape(image.shape, side)
    if (height, width) == image.shape[:2]:
        return image
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"the image of {image.shape[1]} x {image.shape[0]} pixels is too long a strip to be "
            f"resized to a shorter side of {side}; crop it"
        )
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(height, width, -1)


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Return the square of `size` pixels in the middle of an image."""
    _check_square(image, size)
    top, left = ((length - size) // 2 for length in image.shape[:2])
    return image[top : top + size, left : left + size]


def _check_square(image: np.ndarray, size: int) -> None:
    """Raise an error unless a square of `size` pixels fits into an image."""
    require("image", image, np.ndarray)
    whole("size", size, 1)
    if image.ndim != 3 or min(image.shape[:2]) < size:
        raise ValueError(f"a square of {size} pixels does not fit into an image {image.shape}")


def pad(images: np.ndarray, size: int) -> np.ndarray:
    """Return images (N, H, W, C) with a border of black up to `size` pixels in height and width.

    Raises
    ------
    ValueError
        If the images are larger than that.
    """
    missing = [size - length for length in images.shape[1:3]]
    if min(missing) < 0:
        raise ValueError(
            f"images of {images.shape[1]}x{images.shape[2]} pixels are larger than "
            f"{size}x{size}; resize them first"
        )
    borders = [(length // 2, length - length // 2) for length in missing]
    return np.pad(images, [(0, 0), *borders, (0, 0)])


def ten_crops(image: np.ndarray, size: int) -> np.ndarray:
    """Return the four corners, the centre, and their mirror images: (10, size, size, C)."""
    _check_square(image, size)
    bottom, right = (length - size for length in image.shape[:2])
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = np.stack([image[y : y + size, x : x + size] for y, x in corners])
    return np.concatenate([crops, crops[:, :, ::-1]])


def normalised(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return uint8 images (N, H, W, C) as (N, C, H, W): scaled to 0..1, less `mean`, over `std`."""
    scaled = images.astype(np.float32) / 255
    channels_last = (scaled - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return channels_last.transpose(0, 3, 1, 2)


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> mx.nd.NDArray:
    """Return `normalised` images as an NDArray."""
    return mx.nd.array(normalised(images, mean, std))


@dataclass(frozen=True)
class Preprocess:
    """Make the input of a net from images of any size: `net(net.preprocess(image))`.

    Parameters
    ----------
    size : int
        Height and width of the net's input, in pixels.
    mean, std : sequence of float
        Of each channel, on a scale of 0 to 1.
    resize : int, optional
        The shorter side before the central crop; by default `size`.
    border : bool
        Put a border of black around an image that fits into the input, instead of resizing it.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    border: bool = False

    def __post_init__(self):
        whole("size", self.size, 1)
        if self.resize is not None:
            whole("resize", self.resize, self.size)
        one_of("border", self.border, False, True)
        for name in ("mean", "std"):
            values = getattr(self, name)
            require(name, values, tuple, list)
            if not values or not all(isinstance(value, (int, float)) for value in values):
                raise ValueError(f"{name} must have a number for each channel, got {values!r}")

    def __call__(self, images: np.ndarray) -> mx.nd.NDArray:
        """Return what `as_numpy` does as an NDArray."""
        return mx.nd.array(self.as_numpy(images))

    def as_numpy(self, images: np.ndarray) -> np.ndarray:
        """Prepare one image or a batch.

        Parameters
        ----------
        images : ndarray of uint8, shape (H, W, C) or (N, H, W, C)

        Returns
        -------
        ndarray of float32, shape (N, C, size, size)
            N is 1 for one image.

        Raises
        ------
        TypeError
            If the images are not uint8.
        ValueError
            If the shape does not fit; the message names it.
        """
        images, channels = np.asarray(images), len(self.mean)
        if images.dtype != np.uint8:
            raise TypeError(f"images are {images.dtype}; give uint8, 0 to 255")
        if images.ndim not in (3, 4) or images.shape[-1] != channels:
            raise ValueError(
                f"images have shape {images.shape}; give (H, W, {channels}) or a batch of such"
            )
        batch = images.reshape(-1, *images.shape[-3:])
        return normalised(self._fit(batch), self.mean, self.std)

    def _fit(self, batch: np.ndarray) -> np.ndarray:
        """Return images (N, H, W, C) in the size of the input."""
        if self.border and max(batch.shape[1:3]) <= self.size:
            return pad(batch, self.size)
        side = self.resize or self.size
        return np.stack([center_crop(resize_shorter(image, side), self.size) for image in batch])
