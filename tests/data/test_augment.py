"""The augmentation: the statistics of `draw`, and every pixel of `render`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from deeprect_gluon.data.augment import COLOUR_COMPONENTS, COLOUR_STD, View, draw, render
from deeprect_gluon.data.imagenet import ImageRecords
from deeprect_gluon.images import resized_shape

UNIT = ((0, 0, 0), (1, 1, 1))  # mean and std that leave values on a scale of 0 to 1
CROP, SIDES = 32, (37, 73)


def views(folder, epochs, **options):
    """Return all training images of some epochs, as the pipeline gives them with values 0 to 1."""
    images = ImageRecords(
        folder,
        "train",
        20,
        train=True,
        input_size=CROP,
        sides=SIDES,
        mean=UNIT[0],
        std=UNIT[1],
        **options,
    )
    return np.concatenate([x.asnumpy() for e in range(epochs) for x, _ in images.epoch(e)])


@pytest.fixture(scope="module")
def geometry(pack_arrays):
    """Side, top, left and mirroring of 2400 views, read from pixels that tell where they were."""
    height, width = 96, 160
    rows, columns = np.mgrid[:height, :width]
    grid = np.stack([255 * columns / (width - 1), 255 * rows / (height - 1), 0 * rows + 128], -1)
    folder = pack_arrays([grid.round().astype(np.uint8)] * 20)
    x = views(folder, 120, colour=0)
    assert abs(x[:, 2] - 128 / 255).max() < 0.01
    # Pixel j of a row or column has the value (j + 1/2 - 1/2) / (length - 1): between the crop's
    # ends it grows by the scale from one pixel to the next, and its mean is that of the middle.
    ends = slice(2, -2)  # but for the image's own borders, where the filter lacks a part
    at = np.arange(CROP)[ends]
    along_x = np.polyfit(at, x[:, 0].mean(1)[:, ends].T, 1)[0] * (width - 1)
    along_y = np.polyfit(at, x[:, 1].mean(2)[:, ends].T, 1)[0] * (height - 1)
    side = height / along_y
    resized = side.round(), (width * side.round() / height).round()
    middle = x[..., ends, ends].mean((2, 3))
    top = (middle[:, 1] * (height - 1) + 0.5) * resized[0] / height - CROP / 2
    left = (middle[:, 0] * (width - 1) + 0.5) * resized[1] / width - CROP / 2
    return side, top, left, along_x < 0, np.abs(along_x) / along_y


def test_the_shorter_side_is_uniform(geometry):
    side, *_, aspect = geometry
    np.testing.assert_allclose(side, side.round(), atol=0.2)
    counts = np.bincount(side.round().astype(int), minlength=SIDES[1] + 1)[SIDES[0] :]
    assert counts.sum() == len(side)
    assert stats.chisquare(counts).pvalue > 1e-3
    np.testing.assert_allclose(aspect, 1, rtol=0.02)


def test_crops_lie_anywhere_with_the_same_chance(geometry):
    side, top, left, *_ = geometry
    rng = np.random.default_rng(0)
    side = side.round().astype(int)
    for offset, length in ((top, side), (left, (160 * side / 96).round())):
        np.testing.assert_allclose(offset, offset.round(), atol=0.2)
        # An offset evenly among 0 ... length - CROP, and a random fraction, fill the unit interval.
        place = (offset.round() + rng.random(len(offset))) / (length - CROP + 1)
        assert stats.kstest(place, "uniform").pvalue > 1e-3


def test_half_of_the_crops_are_mirrored(geometry):
    mirrored = geometry[3]
    assert stats.binomtest(int(mirrored.sum()), len(mirrored)).pvalue > 1e-3


def test_colours_shift_along_their_principal_components(pack_arrays):
    folder = pack_arrays([np.full((40, 50, 3), 128, np.uint8)] * 20)
    x = views(folder, 200)
    shift = x[..., 0, 0] - np.float32(128 / 255)
    assert np.ptp(x, axis=(2, 3)).max() < 1e-6  # all pixels alike
    along = shift @ np.linalg.inv(COLOUR_COMPONENTS).T / COLOUR_STD
    n = len(along)
    assert n == 4000
    for component in along.T:
        assert stats.kstest(component, "norm", (0, 0.1)).pvalue > 1e-3
    correlation = np.corrcoef(along.T)
    assert (abs(correlation[np.triu_indices(3, 1)]) < 5 / np.sqrt(n)).all()
    # And so the covariance is that of the components, measured against their largest variance.
    expected = 0.01 * COLOUR_COMPONENTS @ np.diag(COLOUR_STD**2) @ COLOUR_COMPONENTS.T
    np.testing.assert_allclose(np.cov(shift.T), expected, atol=5 * expected.max() * np.sqrt(2 / n))


def test_components_are_orthonormal():
    np.testing.assert_allclose(COLOUR_COMPONENTS.T @ COLOUR_COMPONENTS, np.eye(3), atol=2e-4)


def weights(start, stop, length, size):
    """Return a triangular filter as a matrix (size, length), float64."""
    step = (stop - start) / size
    center = start + (np.arange(size) + 0.5) * step
    distance = abs(np.arange(length) + 0.5 - center[:, None]) / max(step, 1)
    matrix = np.maximum(0, 1 - distance)
    return matrix / matrix.sum(1, keepdims=True)


shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@settings(max_examples=60, deadline=None)
@given(shape=shapes, size=st.integers(1, 40), more=st.integers(0, 60), seed=st.integers(0, 999))
def test_a_view_is_the_crop_of_the_resized_image(shape, size, more, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    mean, std = rng.uniform(0.3, 0.6, 3), rng.uniform(0.2, 0.3, 3)
    view = draw(shape, size, (size, size + more), 0.1, rng)
    out = np.empty((3, size, size), np.float32)
    render(image, view, mean, std, out)

    height, width = resized_shape(shape, view.side)
    vertical = weights(0, shape[0], shape[0], height)[view.top : view.top + size]
    horizontal = weights(0, shape[1], shape[1], width)[view.left : view.left + size]
    expected = np.einsum("yh,hwc,xw->cyx", vertical, image.astype(float), horizontal) / 255
    expected = (expected + (view.shift - mean)[:, None, None]) / std[:, None, None]
    if view.mirrored:
        expected = expected[..., ::-1]
    np.testing.assert_allclose(out, expected, atol=2e-5)


def test_a_view_is_pillows_to_its_rounding():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (375, 500, 3), np.uint8)
    for _ in range(10):
        view = draw((375, 500), 224, (256, 512), 0, rng)
        out = np.empty((3, 224, 224), np.float32)
        render(image, view, *UNIT, out)
        height, width = resized_shape((375, 500), view.side)
        resized = np.asarray(Image.fromarray(image).resize((width, height), Image.BILINEAR))
        crop = resized[view.top : view.top + 224, view.left : view.left + 224]
        expected = (crop[:, ::-1] if view.mirrored else crop).transpose(2, 0, 1)
        assert abs(255 * out - expected).max() < 1.5


def test_arithmetic_is_that_of_one_float_after_the_other():
    """Sums have one order and nothing is fused: every instruction set gives these bits."""
    image = np.random.default_rng(1).integers(0, 256, (120, 90, 3), np.uint8)
    out = np.empty((3, 64, 64), np.float32)
    render(image, View(70, 3, 2, True, np.zeros(3)), *UNIT, out)
    rows, columns = 120 / resized_shape((120, 90), 70)[0], 90 / 70
    expected = np.empty_like(out)
    for c in range(3):
        expected[c] = _step_by_step(image[..., c], rows, columns, 3, 2, 64)
    np.testing.assert_array_equal(out, expected[..., ::-1] * np.float32(1 / 255))


def _step_by_step(channel, rows, columns, top, left, size):
    def taps(start, step, length):
        result = []
        # The step as the native code has it: from the ends of the box.
        stop = min(start + size * step, length)
        step = (stop - start) / size
        for i in range(size):
            center, reach = start + (i + 0.5) * step, max(step, 1.0)
            begin = max(0, int(np.floor(center - reach + 0.5)))
            end = min(length, int(center + reach + 0.5))
            own = [max(0.0, 1 - abs(j + 0.5 - center) / reach) for j in range(begin, end)]
            total = 0.0
            for value in own:
                total += value
            result.append((begin, [np.float32(value / total) for value in own]))
        return result

    def mean(lines, own):
        total = own[0] * lines[0].astype(np.float32)
        for weight, line in zip(own[1:], lines[1:]):
            total = total + weight * line.astype(np.float32)
        return total

    height, width = channel.shape
    vertical, horizontal = taps(top * rows, rows, height), taps(left * columns, columns, width)
    resized = np.stack([mean(channel[b : b + len(w)], w) for b, w in vertical]).T
    return np.stack([mean(resized[b : b + len(w)], w) for b, w in horizontal]).T
