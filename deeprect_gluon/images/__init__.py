"""Images: decoding, preprocessing and the prediction of their classes."""

from .decoding import read
from .preprocessing import (
    Preprocess,
    center_crop,
    normalise,
    normalised,
    pad,
    resize_shorter,
    resized_shape,
    ten_crops,
)

__all__ = [
    "Preprocess",
    "center_crop",
    "normalise",
    "normalised",
    "pad",
    "read",
    "resize_shorter",
    "resized_shape",
    "ten_crops",
]
