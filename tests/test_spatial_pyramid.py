"""Spatial pyramid pooling against windows cut by NumPy."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon.nn import SpatialPyramidPooling


def reference(x, pyramid):
    """Cut windows of length a - (n - 1) stride every stride = floor(a / n); take their maxima."""
    size = x.shape[2]
    out = []
    for n in pyramid:
        stride = size // n
        window = size - (n - 1) * stride
        level = np.empty((*x.shape[:2], n, n), x.dtype)
        for i in range(n):
            for j in range(n):
                cut = x[:, :, i * stride :, j * stride :][:, :, :window, :window]
                level[:, :, i, j] = cut.max(axis=(2, 3))
        out.append(level.reshape(len(x), -1))
    return np.concatenate(out, axis=1)


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(1, 20),
    pyramid=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_equals_the_maxima_of_the_windows(size, pyramid, seed):
    pyramid = [min(n, size) for n in pyramid]
    x = np.random.default_rng(seed).standard_normal((2, 3, size, size)).astype(np.float32)
    block = SpatialPyramidPooling(pyramid, size)
    np.testing.assert_array_equal(block(mx.nd.array(x)).asnumpy(), reference(x, pyramid))


@pytest.mark.parametrize(("pyramid", "size"), [((7, 3, 2, 1), 14), ((6, 3, 2, 1), 18)])
def test_published_pyramids_in_every_mode(pyramid, size, tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 5, size, size)).astype(np.float32)
    block = SpatialPyramidPooling(pyramid, size)
    expected = reference(x, pyramid)
    assert expected.shape[1] == 5 * {14: 63, 18: 50}[size]
    np.testing.assert_array_equal(block(mx.nd.array(x)).asnumpy(), expected)
    block.hybridize()
    np.testing.assert_array_equal(block(mx.nd.array(x)).asnumpy(), expected)
    block.export(str(tmp_path / "spp"))
    loaded = mx.gluon.SymbolBlock.imports(str(tmp_path / "spp-symbol.json"), ["data"])
    np.testing.assert_array_equal(loaded(mx.nd.array(x)).asnumpy(), expected)


@settings(deadline=None, max_examples=100)
@given(size=st.integers(1, 64), data=st.data())
def test_windows_cover_the_map_and_stay_inside(size, data):
    n = data.draw(st.integers(1, size))
    ((level, window, stride),) = SpatialPyramidPooling([n], size).windows()
    covered = {i * stride + k for i in range(level) for k in range(window)}
    assert covered == set(range(size))


def test_windows_of_the_published_level_that_does_not_divide_its_map():
    assert SpatialPyramidPooling([3], 14).windows() == [(3, 6, 4)]


@pytest.mark.parametrize("pyramid", [(7, 3), (0,), ()])
def test_a_level_outside_the_map_is_refused(pyramid):
    with pytest.raises(ValueError, match="cannot pool a 6x6 map; every level"):
        SpatialPyramidPooling(pyramid, 6)
