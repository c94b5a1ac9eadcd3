"""Mutated image files of every format: refused, or pixels of the right shape and type."""

import contextlib
import io
import struct
import warnings

import numpy as np
from PIL import Image

from deeprect_gluon.images.decoding import FORMATS, decode, identify
from deeprect_gluon.images.isolated import Isolated

MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P", "RGB"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I", "I;16", "F"),
    "PPM": ("1", "L", "RGB", "I"),
}
assert MODES.keys() == FORMATS.keys()
# Numbers that lengths and counts are replaced by.
WORDS = tuple(
    struct.pack(code, value)
    for code, value in (
        *((">I", v) for v in (0, 1, 65535, 1 << 24, 2**31 - 1, 2**32 - 1)),
        *(("<I", v) for v in (1, 65535, 1 << 24, 2**31 - 1)),
        *((">H", v) for v in (0, 1, 255, 65535)),
    )
)


def _files() -> list:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "text"
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (17, 23, 3), np.uint8))
    files = []
    for form, modes in MODES.items():
        for mode in modes:
            image = picture.convert("L").convert(mode) if mode[0] in "IF" else picture
            image = Image.new(mode, image.size) if mode in ("LAB", "I;16") else image.convert(mode)
            for options in ({}, {"exif": exif}, {"progressive": True}, {"compression": "tiff_lzw"}):
                file = io.BytesIO()
                image.save(file, form, **options)
                files.append(file.getvalue())
    return sorted(set(files))


def _mutate(random: np.random.Generator, files: list) -> bytes:
    content = bytearray(files[random.integers(len(files))])
    for _ in range(random.integers(1, 6)):
        place = int(min(len(content) * random.random() ** 3, len(content) - 1))
        kind = random.integers(6)
        if kind == 0:
            content[place] = random.integers(256)
        elif kind == 1:
            word = WORDS[random.integers(len(WORDS))]
            content[place : place + len(word)] = word
        elif kind == 2:
            del content[place : place + int(random.integers(1, 30))]
        elif kind == 3:  # repeat a piece of it
            content[place:place] = content[place : place + 40] * int(random.integers(1, 200))
        elif kind == 4:  # a piece of another file
            other = files[random.integers(len(files))]
            start = random.integers(len(other))
            content[place:place] = other[start : start + int(random.integers(1, 60))]
        else:
            content = content[: place + 1] if random.random() < 0.2 else content
        content = content or bytearray(1)
    return bytes(content)


@contextlib.contextmanager
def attack(folder):
    """Decode as the server does, in a process with limits."""
    files = _files()

    def shape(content):
        warnings.simplefilter("ignore")
        image = identify(content)
        pixels = decode(image, 3)
        assert pixels.dtype == np.uint8
        return image.size, pixels.shape

    isolated = Isolated(shape, seconds=5)
    isolated.start()

    def trial(random):
        try:
            size, (height, width, channels) = isolated(_mutate(random, files))
        except ValueError as error:
            if "signal" in str(error):  # the decoder crashed
                raise
            return "too much" if "takes" in str(error) else "refused"
        assert {height, width} == set(size)
        assert channels == 3
        return "accepted"

    try:
        yield trial
    finally:
        isolated.close()
