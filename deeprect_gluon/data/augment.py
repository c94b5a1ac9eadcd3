"""Augment training images as in the paper (section 3): scale, crop, mirror and shift the colour.

The shorter side becomes s pixels, with s drawn from a range. The crop lies anywhere. Half of the
crops are mirrored. All pixels of an image are shifted along the principal components of ImageNet's
colours, as in Krizhevsky, Sutskever & Hinton (2012). `draw` draws all of this without the pixels;
`render` then computes only the pixels of the crop.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple, Sequence

import numpy as np

from .. import native
from ..images import resized_shape

_crop = native.function(
    "deeprect_crop",
    [
        np.ctypeslib.ndpointer(np.uint8, ndim=3, flags="C_CONTIGUOUS"),
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_double * 4,
        ctypes.c_int64,
        ctypes.c_int,
        np.ctypeslib.ndpointer(np.float32, shape=(3,), flags="C_CONTIGUOUS"),
        np.ctypeslib.ndpointer(np.float32, shape=(3,), flags="C_CONTIGUOUS"),
        np.ctypeslib.ndpointer(np.float32, ndim=3, flags="C_CONTIGUOUS"),
    ],
)

# Principal components of the RGB values of ImageNet's training images on a scale of 0 to 1, one in
# each column, and the standard deviations along them; the values of most AlexNet implementations.
COLOUR_STD = np.array([0.2175, 0.0188, 0.0045])
COLOUR_COMPONENTS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


class View(NamedTuple):
    """A part of an image: a square of it, resized, perhaps mirrored, its colour shifted.

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
    shape: Sequence[int],
    size: int,
    sides: tuple[int, int],
    colour: float,
    rng: np.random.Generator,
) -> View:
    """Draw a view of an image.

    Parameters
    ----------
    shape : (int, int, ...)
        Height and width of the image come first.
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


def box(shape: Sequence[int], view: View, size: int) -> tuple[float, float, float, float]:
    """Return a view's square of an image (H, W, ...): top, left, bottom, right in its pixels."""
    rows, columns = (
        length / resized for length, resized in zip(shape, resized_shape(shape, view.side))
    )
    return (
        view.top * rows,
        view.left * columns,
        min((view.top + size) * rows, shape[0]),
        min((view.left + size) * columns, shape[1]),
    )


def render(
    image: np.ndarray, view: View, mean: Sequence[float], std: Sequence[float], out: np.ndarray
) -> None:
    """Compute a view as the input of a net: scaled to 0..1, shifted, less `mean`, over `std`.

    The image is resampled as by Pillow's bilinear filter, which averages where it shrinks, but
    without rounding to 8 bits, and only inside the crop. Python's lock is released meanwhile.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    view : View
    mean, std : sequence of float
        Of each channel, on a scale of 0 to 1.
    out : ndarray of float32, shape (3, size, size)
    """
    image = np.ascontiguousarray(image)
    size = out.shape[1]
    corners = (ctypes.c_double * 4)(*box(image.shape, view, size))
    deviation = np.asarray(std)
    scale, offset = np.float32(1 / (255 * deviation)), np.float32((view.shift - mean) / deviation)
    _crop(image, *image.shape[:2], corners, size, view.mirrored, scale, offset, out)
