"""The weights file: what goes in comes out, and nothing else is accepted."""

from __future__ import annotations

import json
import random
import struct

import numpy as np
import pytest
import safetensors
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
        (file_with({"a": tensor("F32", [9**9, [0]], 0, 4)}, bytes(4)), "a has no shape of at most"),
        (file_with({"a": tensor("F32", [1] * 33, 0, 4)}, bytes(4)), "a has no shape of at most 32"),
        (file_with({"a": tensor("F32", "", 0, 4)}, bytes(4)), "a has no shape of at most 32"),
        (file_with({"a": tensor("F32", [0, 1 << 64], 0, 0)}, b""), "a has no shape of at most 32"),
        (file_with({"a": tensor("F32", [9] * 300_000, 0, 4)}, bytes(4)), "a has no shape of at"),
        (file_with({"a" * 201: tensor("F32", [1], 0, 4)}, bytes(4)), "name is not printable or"),
        (file_with({"\ud800": tensor("F32", [1], 0, 4)}, bytes(4)), "name is not printable or"),
        (file_with({"a": "x" * (1 << 20)}, b""), "header has 1,048,58. bytes; at most 1,048,576"),
        (file_with({"a": tensor("I8", [2], 0, "[" * 50_000)}, bytes(2)), "not a weights file"),
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


def test_a_deep_header_is_refused():
    text = b'{"a":' * 100_000
    with pytest.raises(ValueError, match="not a weights file"):
        decode(struct.pack("<Q", len(text)) + text)


def test_integers_without_axes_keep_their_shape():
    content = file_with(
        {"a": tensor("I8", [], 0, 1), "a:scale": tensor("F32", [], 1, 5)},
        struct.pack("<bf", 3, 0.5),
    )
    array = decode(content)["a"]
    assert (array.shape, array.dtype, float(array)) == ((), np.float32, 1.5)


DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "i1"}


def read_by_safetensors(content: bytes) -> dict:
    """Return the arrays that safetensors' own reader and the documented scales give."""
    read = dict(safetensors.deserialize(content))
    arrays = {
        name: np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
        for name, tensor in read.items()
    }
    scales = {name: arrays.pop(name) for name in list(arrays) if name.endswith(":scale")}
    for name, scale in scales.items():
        array = arrays[name[: -len(":scale")]]
        arrays[name[: -len(":scale")]] = (array.astype(np.float32).T * scale).T
    return arrays


def is_decoded_as_by_safetensors(content: bytes) -> bool:
    """Decode a file; return False if it is refused as it should be, True if it is read right."""
    try:
        arrays = decode(content)
    except ValueError:
        return False
    expected = read_by_safetensors(content)
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (np.float32, expected[name].shape)
        np.testing.assert_array_equal(array, expected[name].astype(np.float32))
    return True


def random_file(rng: random.Random) -> bytes:
    """Return a good file of a few arrays of random shapes, in a random form."""
    values = np.random.default_rng(rng.randrange(1 << 30))
    shapes = [[rng.randrange(1, 5) for _ in range(rng.randrange(1, 5))] for _ in range(3)]
    arrays = {f"{i}.weight": values.standard_normal(shape) for i, shape in enumerate(shapes)}
    return encode(arrays, rng.choice(FORMATS))


def mutated(good: bytes, rng: random.Random) -> bytes:
    """Flip a bit, change, insert, repeat, remove or move bytes, or cut the rest off."""
    at, length = rng.randrange(1, len(good)), rng.randrange(1, 64)
    before, after = good[:at], good[at:]
    return rng.choice(
        [
            before + bytes([after[0] ^ 1 << rng.randrange(8)]) + after[1:],
            before + bytes(b ^ rng.randrange(1, 256) for b in after[:length]) + after[length:],
            before + bytes(rng.randrange(256) for _ in range(length)) + after,
            before + after[:length] + after,
            before + after[length:],
            after + before,
            before,
        ]
    )


# What a stranger may put in place of any value of a header.
STRANGE = (
    *(-1, 0, 1, 2, 3.0, 1 << 31, 1 << 64, 10**400, 1e308, True, None, "", "F16", "F64", [], {}),
    *([0], [2, 3], [[0]], [400_000_000, [0]], [1] * 33, [-1, -4], [0, 1 << 62], ["a"], [2.0]),
)


def with_a_strange_header(good: bytes, rng: random.Random) -> bytes:
    """Replace, swap or remove a value of the header; the file is otherwise well-formed."""
    size = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + size])
    name = rng.choice(list(header))
    tensor, strange = header[name], rng.choice(STRANGE)
    if not isinstance(tensor, dict):
        return good  # mutated already
    field = rng.choice(list(tensor))
    kind = rng.randrange(6)
    if kind == 0:
        header[name] = strange
    elif kind == 1:
        tensor[field] = strange
    elif kind == 2 and isinstance(tensor[field], list):
        tensor[field][rng.randrange(len(tensor[field]))] = strange
    elif kind == 3:
        header[rng.choice(list(header))], header[name] = tensor, header[rng.choice(list(header))]
    elif kind == 4:
        del tensor[field]
    else:
        header[f"{name}:scale"] = tensor
    return file_with(header, good[8 + size :])


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")  # of changed scales
@pytest.mark.parametrize("change", [mutated, with_a_strange_header])
def test_changed_files_are_refused_or_read_as_safetensors_reads_them(change):
    rng = random.Random(0)
    read = 0
    for _ in range(500):
        good = random_file(rng)
        assert is_decoded_as_by_safetensors(good)
        read += sum(is_decoded_as_by_safetensors(change(good, rng)) for _ in range(10))
    assert 50 < read < 2500
