"""What was read wrongly, or without end: the modes of images, transparency, formats, sizes."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deeprect_gluon import images
from deeprect_gluon.images import decoding
from deeprect_gluon.images.isolated import Isolated

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)


def encode(pixels, form="PNG", mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels, mode)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(width, height, depth, colour, rows, *chunks):
    """Return a PNG made without Pillow: it writes not all kinds."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


@pytest.mark.parametrize(
    "content",
    [
        encode(GREY.astype(np.uint16) * 257),
        encode(GREY.astype(np.int32) * 257),  # Pillow writes 16 bits
        encode(GREY.astype(np.int32) * 257, "PPM"),
        encode(GREY.astype(np.uint16) * 257, "TIFF"),
        encode((GREY.astype(np.uint16) * 257).astype(">u2"), "TIFF"),
    ],
    ids=["png", "png of int32", "pgm", "tiff", "big-endian tiff"],
)
def test_grey_of_16_bits_was_saturated(content):
    np.testing.assert_array_equal(images.read(content, 1)[..., 0], GREY)
    np.testing.assert_array_equal(images.read(content, 3), np.repeat(GREY[..., None], 3, axis=2))


def test_values_of_16_bits_are_rounded_to_the_nearest_of_8():
    values = np.random.default_rng(1).integers(0, 65536, (90, 70)).astype(np.uint16)
    expected = np.floor(values.astype(float) * 255 / 65535 + 0.5)
    np.testing.assert_array_equal(images.read(encode(values), 1)[..., 0], expected)


def test_a_tiff_of_fractions_was_black():
    content = encode(GREY.astype(np.float32) / 255, "TIFF")
    np.testing.assert_array_equal(images.read(content, 1)[..., 0], GREY)


def test_16_bits_and_fractions_with_white_at_zero_were_negatives():
    for pixels in (GREY.astype(np.uint16) * 257, GREY.astype(np.float32) / 255):
        content = bytearray(encode(pixels, "TIFF"))
        photometric = struct.pack("<HHI", 262, 3, 1)  # black is zero
        place = content.index(photometric) + len(photometric)
        assert content[place] == 1
        content[place] = 0
        np.testing.assert_array_equal(images.read(bytes(content), 1)[..., 0], 255 - GREY)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (GREY.astype(np.int32), "of 32 bits"),
        (GREY.astype(np.float32), r"values from \d+ to \d+; give 0 \(black\) to 1"),
        (GREY.astype(np.float32) / -255, "values from -0"),
        (np.full((3, 3), np.nan, np.float32), "values from nan to nan"),
    ],
    ids=["int32", "0 to 255", "negative", "nan"],
)
def test_values_without_a_known_white_are_refused_and_not_guessed(pixels, words):
    with pytest.raises(ValueError, match=words):
        images.read(encode(pixels, "TIFF"))


TRANSPARENT = {
    "rgba png": lambda hidden: encode(np.uint8([[[*[hidden] * 3, 0], [9, 8, 7, 255]]])),
    "rgba webp": lambda hidden: encode(
        np.uint8([[[*[hidden] * 3, 0], [9, 8, 7, 255]]]), "WEBP", lossless=True, exact=True
    ),
    "rgba tiff": lambda hidden: encode(np.uint8([[[*[hidden] * 3, 0], [9, 8, 7, 255]]]), "TIFF"),
    "la png": lambda hidden: encode(np.uint8([[[hidden, 0], [9, 255]]]), mode="LA"),
    "palette": lambda hidden: png(
        *(2, 1, 8, 3, [b"\0\1"]),
        (b"PLTE", bytes([*[hidden] * 3, 9, 8, 7])),
        (b"tRNS", b"\0"),
    ),
    "gif": lambda hidden: encode(_palette(hidden), "GIF", transparency=0),
    "grey key": lambda hidden: png(2, 1, 8, 0, [bytes([hidden, 9])], (b"tRNS", bytes([0, hidden]))),
    "grey key of 4 bits": lambda hidden: png(
        2, 1, 4, 0, [bytes([(hidden & 15) << 4 | 9])], (b"tRNS", bytes([0, hidden & 15]))
    ),
    "grey key of 16 bits": lambda hidden: png(
        2, 1, 16, 0, [bytes([hidden, 1, 9, 9])], (b"tRNS", bytes([hidden, 1]))
    ),
    "rgb key": lambda hidden: png(
        2, 1, 8, 2, [bytes([*[hidden] * 3, 9, 8, 7])], (b"tRNS", bytes([0, hidden] * 3))
    ),
    "rgb key of 16 bits": lambda hidden: png(
        *(2, 1, 16, 2, [bytes([*[hidden, 1] * 3, 9, 9, 8, 8, 7, 7])]),
        (b"tRNS", bytes([hidden, 1] * 3)),
    ),
}


def _palette(hidden):
    image = Image.fromarray(np.uint8([[0, 1]]), "P")
    image.putpalette([hidden] * 3 + [9, 8, 7])
    return image


@pytest.mark.parametrize("make", TRANSPARENT.values(), ids=TRANSPARENT)
def test_the_hidden_colour_of_transparent_pixels_decided(make):
    black, white = (images.read(make(hidden)) for hidden in (0, 255))
    np.testing.assert_array_equal(black, white)
    np.testing.assert_array_equal(black[0, 0], [255, 255, 255])
    assert black[0, 1, 0] in (9, 9 * 17)
    np.testing.assert_array_equal(images.read(make(0), 1)[0, 0], [255])


def test_half_transparent_pixels_are_mixed_with_white():
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (40, 50, 4), np.uint8)
    share = pixels[..., 3:] / 255
    expected = pixels[..., :3] * share + 255 * (1 - share)
    assert np.abs(images.read(encode(pixels)) - expected).max() <= 1


def test_a_transparent_picture_is_turned_upright_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(4).integers(0, 256, (4, 6, 4), np.uint8)
    upright = images.read(encode(pixels, exif=exif))
    np.testing.assert_array_equal(upright, np.rot90(images.read(encode(pixels)), -1))


@pytest.mark.parametrize("form", ["EPS", "PDF", "PCX", "TGA", "ICO", "SGI", "IM", "DDS"])
def test_formats_that_are_not_named_were_given_to_pillow(form, monkeypatch):
    content = encode(np.zeros((16, 16, 3), np.uint8), form)
    asked = []
    real = Image.open

    def noting(file, formats=None, **options):
        asked.append(formats)
        return real(file, formats=formats, **options)

    monkeypatch.setattr(Image, "open", noting)
    with pytest.raises(decoding.UnknownFormatError, match="none of the formats JPEG, PNG"):
        images.read(content)
    assert asked == [tuple(decoding.FORMATS)]


def test_an_empty_file_was_described_by_an_address_in_memory(tmp_path):
    (tmp_path / "x.png").touch()
    with pytest.raises(ValueError, match="^not a whole image: the file is empty$"):
        images.read(tmp_path / "x.png")


def test_an_image_of_too_many_pixels_was_no_whole_image():
    content = png(20_000, 20_000, 1, 0, [bytes(2500)])
    with pytest.raises(ValueError, match="20000 x 20000 pixels, more than 178,956,970; make it"):
        images.read(content)


def test_a_sparse_file_of_20_gb_was_read(tmp_path):
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(20 << 30)
    with pytest.raises(ValueError, match="21,474,836,480 bytes, more than the 268,435,456"):
        images.read(tmp_path / "x.png")


def test_a_pipe_named_as_an_image_hung(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match="no regular file"):
        images.read(tmp_path / "x.png")


def test_a_long_strip_became_a_huge_image():
    with pytest.raises(ValueError, match="of 100000 x 1 pixels is too long a strip"):
        images.resize_shorter(np.zeros((1, 100_000, 1), np.uint8), 256)


def spin(content):
    if content == b"spin":
        while True:
            pass
    if content == b"memory":
        return bytearray(1 << 40)
    if content == b"kill":
        os.kill(os.getpid(), 9)
    if content == b"error":
        raise decoding.UnknownFormatError("of its own")
    return os.getpid(), content


def test_an_isolated_call_ends_by_itself_whatever_it_does():
    isolated = Isolated(spin, processes=2, seconds=0.05)
    isolated.start()
    try:
        for content, error, words in (
            (b"spin", ValueError, "takes more than 0.05 seconds"),
            (b"memory", ValueError, "takes more than 2,147,483,648 bytes"),
            (b"kill", ValueError, r"ended its decoder \(signal 9\)"),
            (b"error", decoding.UnknownFormatError, "of its own"),
        ):
            for _ in range(3):
                with pytest.raises(error, match=words):
                    isolated(content)
                process, same = isolated(b"x" * 100_000)
                assert same == b"x" * 100_000
                assert process != os.getpid()
    finally:
        isolated.close()
