"""The paper's augmentation of training images (section 3): scale, crop, mirror and colour.

The shorter side becomes s pixels, s drawn evenly from a range; a crop is taken anywhere; half of the
crops are mirrored; and all pixels of an image are shifted along the principal components of
ImageNet's colours, as Krizhevsky, Sutskever & Hinton (2012) do it. All of it is drawn first, from
what is known without the pixels, and then only the pixels that will be seen are computed.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence

import cv2
import numpy as np
from PIL import Image

from ..images import resized_shape

# Principal components of the RGB values of ImageNet's training images on a scale of 0 to 1, one in
# each column, and the standard deviations along them: what every AlexNet since has used.
COLOUR_STD = np.array([0.2175, 0.0188, 0.0045])
COLOUR_COMPONENTS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


class View(NamedTuple):
    """What is seen of an image: a square of the resized image, perhaps mirrored, its colour shifted.

    Attributes
    ----------
    side : int
        Shorter side of the resized image, in pixels.
    top, left : int
        Corner of the crop in the resized image.
    mirrored : bool
    shift : ndarray, shape (3,)
        Added to all pixels, on a scale of 0 to 1.
    """

    side: int
    top: int
    left: int
    mirrored: bool
    shift: np.ndarray


def draw(
    shape: tuple[int, int],
    size: int,
    sides: tuple[int, int],
    colour: float,
    rng: np.random.Generator,
) -> View:
    """Draw a view of an image.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    size : int
        Side of the crop.
    sides : (int, int)
        Least and greatest length of the resized image's shorter side, both possible.
    colour : float
        Standard deviation of the shift along each component, in units of the component's own.
    rng : numpy.random.Generator
    """
    side = int(rng.integers(sides[0], sides[1] + 1))
    height, width = resized_shape(shape, side)
    top, left = (int(rng.integers(0, length - size + 1)) for length in (height, width))
    mirrored = bool(rng.random() < 0.5)
    shift = COLOUR_COMPONENTS @ (COLOUR_STD * rng.normal(0, colour, 3))
    return View(side, top, left, mirrored, shift)


def crop_of_resized(image: np.ndarray, side: int, top: int, left: int, size: int) -> np.ndarray:
    """Return a square of the image resized to a shorter side, without computing the rest of it.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    side : int
        Shorter side of the resized image (bilinear, antialiased when it shrinks).
    top, left, size : int
        The square, in pixels of the resized image.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
    """
    spans, boxes = [], []
    for offset, length, resized in zip((top, left), image.shape, resized_shape(image.shape, side)):
        scale = length / resized
        start, stop = offset * scale, (offset + size) * scale
        reach = math.ceil(max(scale, 1)) + 1  # pixels that the filter sees beyond the square
        first = max(0, math.floor(start) - reach)
        spans.append(slice(first, math.ceil(stop) + reach))
        boxes.append((start - first, min(stop, length) - first))
    picture = Image.fromarray(image[spans[0], spans[1]])
    (upper, lower), (left_edge, right_edge) = boxes
    box = (left_edge, upper, right_edge, lower)
    return np.asarray(picture.resize((size, size), Image.BILINEAR, box))


def to_input(
    image: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    out: np.ndarray,
    mirrored: bool = False,
    shift: np.ndarray | float = 0.0,
) -> None:
    """Write an image as a net takes it: scaled to 0..1, shifted, less `mean`, over `std`.

    Without a shift the bits are those of `deeprect_gluon.images.normalise`.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    mean, std : sequence of float
        Of each channel, on a scale of 0 to 1.
    out : ndarray of float32, shape (3, H, W)
    mirrored : bool
    shift : ndarray, shape (3,)
    """
    values = np.arange(256, dtype=np.float32)[:, None] / 255 + np.float32(shift)
    table = np.ascontiguousarray(((values - np.float32(mean)) / np.float32(std)).T)
    if mirrored:
        image = cv2.flip(image, 1)
    for channel, of_channel, result in zip(cv2.split(image), table, out):
        cv2.LUT(channel, of_channel, result)
