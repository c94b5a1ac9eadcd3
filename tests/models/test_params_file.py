"""MXNet's parameter files, written by MXNet and read without it."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeprect_gluon.models.weights import read_params

SHAPES = hnp.array_shapes(min_dims=1, max_dims=5, max_side=6)
ARRAYS = hnp.arrays(st.sampled_from([np.float32, np.float16]), SHAPES)


@settings(max_examples=30, deadline=None)
@given(arrays=st.dictionaries(st.text(max_size=9).filter(lambda s: "\0" not in s), ARRAYS))
def test_what_mxnet_saves_is_read_to_the_bit(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("params") / "net.params"
    if not arrays:
        return  # MXNet saves no names then
    mx.nd.save(str(path), {n: mx.nd.array(a, dtype=a.dtype) for n, a in arrays.items()})
    found = read_params(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "net.params"
    mx.nd.save(str(path), {"arg:a": mx.nd.ones((2, 3)), "arg:b": mx.nd.ones((4,), dtype="float16")})
    return path.read_bytes()


def test_every_truncation_is_refused(content, tmp_path):
    path = tmp_path / "net.params"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="is not a parameter file, or is damaged"):
            read_params(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="1 bytes follow after its end"):
        read_params(path)


def test_every_flipped_byte_is_refused_or_read_within_bounds(content, tmp_path):
    path = tmp_path / "net.params"
    for position in range(len(content)):
        for value in (0x00, 0x7F, 0xFF):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            try:
                arrays = read_params(path)
            except ValueError:
                continue
            assert sum(array.nbytes for array in arrays.values()) <= len(content)


def test_other_types_are_refused(tmp_path):
    path = tmp_path / "net.params"
    mx.nd.save(str(path), {"a": mx.nd.ones((2,), dtype="int32")})
    with pytest.raises(ValueError, match=r"an array of type 4 and shape \(2,\)"):
        read_params(path)
    mx.nd.save(str(path), {"a": mx.nd.ones((3, 2)).tostype("row_sparse")})
    with pytest.raises(ValueError, match="storage 1"):
        read_params(path)
