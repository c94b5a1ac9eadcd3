"""Images: reading, resizing, cropping, normalising."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from deeprect_gluon import images


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def encode(pixels, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_reads_what_was_written(tmp_path, channels):
    pixels = picture(5, 7, channels)
    (tmp_path / "image.png").write_bytes(encode(pixels))
    np.testing.assert_array_equal(images.read(tmp_path / "image.png", channels), pixels)


def test_converts_between_grey_and_colour():
    grey = picture(4, 6, 1)
    np.testing.assert_array_equal(images.read(encode(grey), 3), np.repeat(grey, 3, axis=2))
    assert images.read(encode(picture(4, 6)), 1).shape == (4, 6, 1)


def test_turns_an_image_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    pixels = picture(4, 6)
    upright = images.read(encode(pixels, exif=exif))
    np.testing.assert_array_equal(upright, np.rot90(pixels, -1))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF"])
def test_a_truncated_file_is_refused_at_any_length(form, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as GluonCV sets it
    whole = encode(picture(40, 40), form)
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 30):
        with pytest.raises(ValueError, match="not a whole image"):
            images.read(whole[:length])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged EXIF
def test_any_damage_is_a_damaged_image(form):
    rng = np.random.default_rng(5)
    whole = encode(picture(20, 30), form)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(0, 120, rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        with contextlib.suppress(ValueError):
            assert images.read(bytes(damaged)).shape[2] == 3


def test_a_text_where_exif_has_a_number_is_refused():
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    whole = encode(picture(20, 30), "JPEG", exif=exif)
    damaged = whole.replace(b"\x01\x0e\x00\x02", b"\x01\x56\x00\x02")
    assert damaged != whole
    with pytest.raises(ValueError, match="not a whole image"):
        images.read(damaged)


def test_text_is_refused_and_a_missing_file_named(tmp_path):
    with pytest.raises(ValueError, match="not a whole image"):
        images.read(b"no image")
    with pytest.raises(FileNotFoundError, match="absent"):
        images.read(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        images.read(b"", channels=2)


@pytest.mark.parametrize(("height", "width"), [(50, 80), (80, 50), (30, 30), (33, 100)])
def test_resize_gives_the_shorter_side_and_keeps_the_ratio(height, width):
    resized = images.resize_shorter(picture(height, width), 40)
    assert min(resized.shape[:2]) == 40
    longer = max(height, width) * 40 / min(height, width)
    assert abs(max(resized.shape[:2]) - longer) <= 0.5


def test_an_image_of_the_right_size_is_not_changed():
    pixels = picture(20, 33, 1)
    np.testing.assert_array_equal(images.resize_shorter(pixels, 20), pixels)


def test_resize_keeps_a_slope():
    ramp = np.repeat(np.arange(0, 200, 2, np.uint8)[None, :, None], 100, axis=0)
    resized = images.resize_shorter(ramp, 50)[:, 2:-2, 0].astype(int)
    expected = ramp[0, ::2, 0].astype(int)[2:-2] + 1
    assert np.abs(resized - expected).max() <= 1


def test_preprocess_normalises_the_central_crop():
    pixels = picture(30, 26)
    x = images.Preprocess(20, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), resize=26)(pixels).asnumpy()
    expected = (pixels[5:25, 3:23] / 255 - [0.1, 0.2, 0.3]) / [0.4, 0.5, 0.6]
    np.testing.assert_allclose(x[0].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-6)
    batch = images.Preprocess(20, (0.0,), (1.0,))(
        picture(5, 20 * 20).reshape(5, 20, 20, 3)[..., :1]
    )
    assert batch.shape == (5, 1, 20, 20)


def test_a_border_goes_around_what_fits_and_nothing_else():
    rule = images.Preprocess(20, (0.0,), (1.0,), resize=24, border=True)
    pixels = np.random.default_rng(2).integers(1, 256, (3, 17, 20, 1), np.uint8)
    x = rule(pixels).asnumpy()
    np.testing.assert_array_equal(x[:, 0, 1:18], np.float32(pixels[..., 0]) / np.float32(255))
    assert not x[:, 0, [0, 18, 19]].any()
    large = np.random.default_rng(3).integers(0, 256, (17, 21, 1), np.uint8)
    resized = images.Preprocess(20, (0.0,), (1.0,), resize=24)(large).asnumpy()
    np.testing.assert_array_equal(rule(large).asnumpy(), resized)


@pytest.mark.parametrize(
    ("pixels", "error", "message"),
    [
        (np.zeros((20, 20, 1)), TypeError, "images are float64; give uint8"),
        (np.zeros((20, 20), np.uint8), ValueError, r"shape \(20, 20\); give \(H, W, 1\)"),
        (np.zeros((20, 20, 3), np.uint8), ValueError, r"shape \(20, 20, 3\); give \(H, W, 1\)"),
    ],
)
def test_preprocess_names_what_is_no_image(pixels, error, message):
    with pytest.raises(error, match=message):
        images.Preprocess(20, (0.0,), (1.0,))(pixels)
