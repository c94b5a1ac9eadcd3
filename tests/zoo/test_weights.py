"""The weights file: what goes in comes out, and nothing else is accepted."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zoo.weights import FORMATS, decode, encode

MATRICES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-6e4, 6e4, width=32),
)


def roundtrip(arrays, form):
    return decode(encode(arrays, form))


@given(MATRICES)
def test_float32_is_exact(array):
    np.testing.assert_array_equal(roundtrip({"a.weight": array}, "float32")["a.weight"], array)


@given(MATRICES)
def test_float16_is_the_nearest_half(array):
    found = roundtrip({"a.weight": array}, "float16")["a.weight"]
    # Half precision: 11 significant bits, and steps of 2^-24 below the normal numbers.
    assert (np.abs(found - array) <= np.maximum(np.abs(array) * 2.0**-11, 2.0**-25)).all()


@given(MATRICES)
def test_int8_is_within_half_a_step_of_its_channel(array):
    found = roundtrip({"a.weight": array}, "int8")["a.weight"]
    largest = np.abs(array).reshape(len(array), -1).max(1)
    step = (largest / 127).reshape(-1, *[1] * (array.ndim - 1))
    assert (np.abs(found - array) <= step * 0.5001 + 1e-37).all()


@pytest.mark.parametrize("form", FORMATS)
def test_slopes_and_biases_are_exact(form):
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.standard_normal((3, 2, 2, 2), np.float32),
        "a.bias": rng.standard_normal(3, np.float32),
        "b.alpha": rng.standard_normal(1, np.float32),
    }
    found = roundtrip(arrays, form)
    assert set(found) == set(arrays)
    assert all(array.dtype == np.float32 for array in found.values())
    for name in ("a.bias", "b.alpha"):
        np.testing.assert_array_equal(found[name], arrays[name])


def test_sizes():
    arrays = {"a.weight": np.ones((64, 640), np.float32)}
    sizes = {form: len(encode(arrays, form)) / (64 * 640) for form in FORMATS}
    assert sizes["float32"] == pytest.approx(4, rel=0.02)
    assert sizes["float16"] == pytest.approx(2, rel=0.02)
    assert sizes["int8"] == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_published(form, value):
    array = np.ones((2, 3), np.float32)
    array[1, 2] = value
    with pytest.raises(ValueError, match=r"a\.weight has NaN, infinite"):
        encode({"a.weight": array}, form)


def test_overflow_of_half_precision_is_refused():
    with pytest.raises(ValueError, match="too large for float16"):
        encode({"a.weight": np.full((2, 2), 7e4, np.float32)}, "float16")


def test_unknown_format():
    with pytest.raises(ValueError, match="format='int4' is not known; use one of float16, int8"):
        encode({}, "int4")


def file_with(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a weights file"),
        (b"\x80\x04\x95pickle", "not a weights file"),
        (struct.pack("<Q", 1 << 62) + b"{}", "not a weights file"),
        (file_with({"a": tensor("F32", [2], 0, 4)}, bytes(4)), "not a weights file"),
        (file_with({"a": tensor("F32", [1], 0, 4)}, b""), "not a weights file"),
        (file_with({"a": tensor("F32", [1], 0, 4)}, bytes(8)), "not a weights file"),
        (file_with({"a": tensor("F32", [1 << 40, 1 << 40], 0, 4)}, bytes(4)), "not a weights file"),
        (file_with({"a": tensor("I64", [1], 0, 8)}, bytes(8)), "a has type I64"),
        (file_with({"a": tensor("I8", [2], 0, 2)}, bytes(2)), "a .int8. has scales of .* None"),
        (file_with({"a:scale": tensor("F32", [1], 0, 4)}, bytes(4)), "a:scale belongs to no array"),
        (
            file_with(
                {"a": tensor("I8", [2, 1], 0, 2), "a:scale": tensor("F32", [1], 2, 6)}, bytes(6)
            ),
            "a .int8. has scales of",
        ),
    ],
)
def test_what_is_not_a_weights_file_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        decode(content)
