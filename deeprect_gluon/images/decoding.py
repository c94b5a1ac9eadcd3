"""Decode image files to uint8 arrays (H, W, C)."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator, Mapping, cast

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ..errors import require

# The formats that are read, as Pillow names them, and the suffixes of their files. Pillow is asked
# for no others: it reads some by starting other programs.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MOST_BYTES = 256 << 20
MOST_PIXELS = 178_956_970  # Pillow's own limit
# Pixels times scans: a scan of a progressive JPEG can be short, but costs time for every pixel.
MOST_SCANNED = 5_000_000_000

_MODES = {1: "L", 3: "RGB"}


class UnknownFormatError(ValueError):
    """The bytes are not an image of an accepted format."""


@contextmanager
def _our_limits() -> Iterator[None]:
    """Refuse truncated files, even after GluonCV was imported: that makes Pillow accept them.

    Pillow's limit of pixels is off, since ours says what the size is.
    """
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that may be an image.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no regular file, or has more than `MOST_BYTES`.
    """
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("no regular file")
    check_bytes(size)
    return path.read_bytes()


def check_bytes(size: int) -> None:
    """Raise ValueError if an image file has more bytes than are read."""
    if size > MOST_BYTES:
        raise ValueError(f"{size:,} bytes, more than the {MOST_BYTES:,} of an image that is read")


def identify(content: bytes, formats: Iterable[str] = FORMATS) -> Image.Image:
    """Open an encoded image without decoding its pixels.

    Parameters
    ----------
    content : bytes
    formats : iterable of str
        Some of `FORMATS`.

    Returns
    -------
    PIL.Image.Image
        With `format`, `mode` and `size`. Give it to `decode`.

    Raises
    ------
    UnknownFormatError
        If the content is of none of the formats.
    ValueError
        If it is damaged, or would take too much memory or time to decode.
    """
    names = tuple(formats)
    try:
        with _our_limits():
            image: Image.Image = Image.open(io.BytesIO(content), formats=names)
    except UnidentifiedImageError as error:
        found = f"none of the formats {', '.join(names)}" if content else "the file is empty"
        raise UnknownFormatError(f"not a whole image: {found}") from error
    except MemoryError:
        raise
    # Pillow's readers raise errors of many types.
    except Exception as error:
        raise ValueError(f"not a whole image: {error}") from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"the image has {width} x {height} pixels, more than {MOST_PIXELS:,}; make it smaller"
        )
    if image.format in ("JPEG", "MPO"):
        scans = content.count(b"\xff\xda")
        if scans * width * height > MOST_SCANNED:
            raise ValueError(
                f"the JPEG has {scans:,} scans, too many to decode {width} x {height} pixels so "
                "often; save it with fewer"
            )
    if image.format == "PNG":
        _scale_transparency(image, depth=content[24])
    return image


def _scale_transparency(image: Image.Image, depth: int) -> None:
    """Bring the transparent colour to 8 bits, as Pillow brings the pixels but not this."""
    colour = image.info.get("transparency")
    if isinstance(colour, int) and image.mode in ("1", "L"):
        image.info["transparency"] = colour * (255 // (2**depth - 1))
    if isinstance(colour, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def decode(image: Image.Image, channels: int) -> np.ndarray:
    """Decode the pixels of an image from `identify`, as `read` does."""
    try:
        with _our_limits():
            upright = cast(Image.Image, ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    # Pillow's decoders raise errors of many types.
    except Exception as error:
        raise ValueError(f"not a whole image: {error}") from error
    if image.mode == "F" or image.mode.startswith("I"):
        upright = _eight_bits(upright, getattr(image, "tag_v2", {}))
    elif image.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    pixels = np.asarray(upright.convert(_MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def _eight_bits(image: Image.Image, tags: Mapping) -> Image.Image:
    """Scale grey values of more than 8 bits; `tags` are those of a TIFF, or empty."""
    bits_per_sample, photometric, white_is_zero = 258, 262, 0
    values, white = np.asarray(image), 65535
    if image.mode == "F":
        white = 1
        if not 0 <= values.min() <= values.max() <= 1:
            raise ValueError(
                f"the image has values from {values.min():g} to {values.max():g}; give 0 (black) "
                "to 1 (white), or whole numbers of 8 or 16 bits"
            )
    elif tags and (image.mode == "I" or tags[bits_per_sample] != (16,)):
        raise ValueError(
            f"the image has whole numbers of {tags[bits_per_sample][0]} bits or with a sign, of "
            "which none is white for every viewer; give 8 or 16 bits without a sign"
        )
    if "transparency" in image.info:
        values = np.where(values == image.info["transparency"], white, values)
    if tags.get(photometric) == white_is_zero:
        values = white - values
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


def read(source: Path | str | bytes, channels: int = 3) -> np.ndarray:
    """Read an image file as a viewer shows it.

    It is turned upright by its EXIF orientation. What is transparent is shown on white. Grey values
    of 16 bits, or from 0 to 1, are scaled to 8 bits.

    Parameters
    ----------
    source : path or bytes
        A file of one of the `FORMATS`, or its content.
    channels : {1, 3}
        Grey or RGB.

    Returns
    -------
    ndarray of uint8, shape (H, W, channels)

    Raises
    ------
    ValueError
        If it is no image, is damaged or too large, or has values of which none is known to be
        white: whole numbers of 32 bits or with a sign, fractions outside of 0 to 1.
    FileNotFoundError
        If there is no such file.
    """
    require("source", source, str, Path, bytes)
    if not isinstance(channels, int) or channels not in _MODES:
        raise ValueError(f"an image has 1 or 3 channels, not {channels}")
    content = source if isinstance(source, bytes) else read_file(Path(source))
    return decode(identify(content), channels)
