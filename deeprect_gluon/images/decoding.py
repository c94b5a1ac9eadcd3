"""Decode image files to uint8 arrays (H, W, C)."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, cast

import numpy as np
from PIL import Image, ImageFile, ImageOps


@contextmanager
def _strict_decoding() -> Iterator[None]:
    """Refuse truncated files, even after GluonCV was imported: that makes Pillow accept them."""
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def read(source: Path | str | bytes, channels: int = 3) -> np.ndarray:
    """Read an image file.

    Parameters
    ----------
    source : path or bytes
        A file of any format that Pillow reads, or its content.
    channels : {1, 3}
        Grey or RGB.

    Returns
    -------
    ndarray of uint8, shape (H, W, channels)
        Upright, as the file's EXIF orientation has it.

    Raises
    ------
    ValueError
        If it is no image, or is damaged.
    FileNotFoundError
        If there is no such file.
    """
    modes = {1: "L", 3: "RGB"}
    if channels not in modes:
        raise ValueError(f"an image has 1 or 3 channels, not {channels}")
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        with _strict_decoding(), Image.open(io.BytesIO(content)) as image:
            upright = cast(Image.Image, ImageOps.exif_transpose(image))
            pixels = np.asarray(upright.convert(modes[channels]))
    # Pillow's decoders raise errors of many types.
    except Exception as error:
        raise ValueError(f"not a whole image: {error}") from error
    return pixels.reshape(*pixels.shape[:2], channels)
