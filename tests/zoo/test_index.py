"""The index: what it accepts, and which entry a request means."""

from __future__ import annotations

import copy
import json

import pytest

from zoo import index
from zoo.store import DEFAULT, open_store


@pytest.fixture(scope="module")
def good(published) -> dict:
    return json.loads((published / "index.json").read_text())


def parse(value: dict) -> dict:
    return index.parse(json.dumps(value).encode(), "index.json")


def test_roundtrip(good):
    assert index.parse(index.dump(good), "index.json") == good


def test_the_package_ships_a_valid_index():
    assert open_store(DEFAULT).index["schema"] == 1


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema"], 2, r"\$\.schema: 1 was expected"),
        (["entries", 0, "weights", "file"], "../../../etc/passwd", "does not match"),
        (["entries", 0, "weights", "file"], "/etc/passwd", "does not match"),
        (["entries", 0, "weights", "file"], "a/b.safetensors", "does not match"),
        (["entries", 0, "weights", "file"], "a\\b.safetensors", "does not match"),
        (["entries", 0, "weights", "file"], "..", "does not match"),
        (["entries", 0, "weights", "file"], "a\n", "does not match"),
        (["entries", 0, "weights", "file"], ".index.json.lock", "does not match"),
        (["entries", 0, "history", "file"], "../x.csv", "does not match"),
        (["entries", 0, "weights", "sha256"], "abc", "does not match"),
        (["entries", 0, "weights", "bytes"], -1, "minimum"),
        (["entries", 0, "weights", "format"], "pickle", "is not one of"),
        (["entries", 0, "name"], "../deeprect", "does not match"),
        (["entries", 0, "dataset"], "fashion mnist", "does not match"),
        (["entries", 0, "metrics", "top1_error"], 1.5, "maximum"),
        (["entries", 0, "preprocess", "std"], [0], "minimum"),
        (["entries", 0, "surprise"], 1, "surprise"),
        (["entries", 0], None, "None is not of type 'object'"),
        (["entries", 0, "config", "surprise"], 1, "surprise"),
        (["entries", 0, "config", "pyramid"], [1_000_000_000], "maximum"),
        (["entries", 0, "config", "hidden"], [1] * 100, "too long"),
        (["entries", 0, "config", "input_size"], 28.0, "28.0 is not of type 'integer'"),
        (["entries", 0, "config", "width"], 1e300, "maximum"),
        (["entries", 0, "config", "classes"], True, "True is not of type 'integer'"),
        (["entries", 0, "weights", "bytes"], 1 << 40, "maximum"),
        (["entries", 0, "preprocess", "std"], [1e-300], "minimum"),
        (["entries", 0, "preprocess", "mean"], [10**400], "maximum"),
        (["entries", 0, "preprocess", "resize"], 10**9, "maximum"),
        (["entries", 0, "recipe", "train"], [], "is not of type 'object'"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(good, path, value, message):
    bad = copy.deepcopy(good)
    place = bad
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=r"the index index\.json is not valid at .*" + message):
        parse(bad)


@pytest.mark.parametrize(
    "key", ["weights", "config", "metrics", "recipe", "licence", "classes", "multiply_adds"]
)
def test_a_missing_field_is_refused(good, key):
    bad = copy.deepcopy(good)
    del bad["entries"][0][key]
    with pytest.raises(ValueError, match=f"'{key}' is a required property"):
        parse(bad)


def test_an_entry_twice_is_refused(good):
    with pytest.raises(ValueError, match="holds version 1 of .* twice"):
        parse({**good, "entries": good["entries"] * 2})


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["config", "name"], "deeprect_c", "has the configuration of deeprect_c"),
        (["classes"], ["cat"], "has 1 names for 10 classes"),
        (["preprocess", "mean"], [0.5] * 3, "has 3 means and 1 deviations of channels"),
        (["preprocess", "std"], [], "has 1 means and 0 deviations of channels"),
        (["preprocess", "size"], 32, "has images of 32 pixels for inputs of 28"),
        (["preprocess", "resize"], 27, "has images of 28 pixels for inputs of 28"),
    ],
)
def test_contradictions_are_refused(good, path, value, message):
    bad = copy.deepcopy(good)
    place = bad["entries"][0]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=f"contradicts itself: .*{message}"):
        parse(bad)


def test_a_long_index_is_refused_before_it_is_parsed():
    with pytest.raises(ValueError, match=r"the index index\.json has more than 4,194,304 bytes"):
        index.parse(b" " * (index.MOST_BYTES + 1), "index.json")


def test_millions_of_errors_are_one_short_one():
    content = b'{"schema": 1, "entries": [' + b"0," * (index.MOST_BYTES // 2 - 20) + b"0]}"
    with pytest.raises(ValueError, match=r"is not valid at \$\.entries\[0\]: 0 is not of type"):
        index.parse(content, "index.json")
    with pytest.raises(ValueError, match="is not valid at") as caught:
        parse({"schema": 1, "entries": {"x" * 1_000_000: 1}})
    assert len(str(caught.value)) < 400


DEEP = b'{"schema": 1, "entries": ' + b"[" * 500_000 + b"]" * 500_000 + b"}"
DEEP_RECIPE = b'{"recipe": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe", b"[1, 2", DEEP, DEEP_RECIPE, b"NaN", b'{"schema": Infinity}'),
        *(b'{"schema": 1e999}', b'{"schema": "\\ud800"}'),
    ],
)
def test_what_is_not_json_is_refused(content):
    with pytest.raises(ValueError, match=r"the index index\.json is not JSON"):
        index.parse(content, "index.json")


@pytest.fixture
def entries(good) -> list:
    def entry(name, activation, dataset, version):
        value = copy.deepcopy(good["entries"][0])
        value.update(name=name, dataset=dataset, version=version)
        value["config"].update(name=name, activation=activation)
        return value

    return [
        entry("deeprect_a", "relu", "fashion_mnist", 1),
        entry("deeprect_a", "prelu", "fashion_mnist", 1),
        entry("deeprect_a", "prelu", "imagenet", 1),
        entry("deeprect_a", "prelu", "fashion_mnist", 2),
        entry("deeprect_b", "relu", "imagenet", 1),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("deeprect_a",), 3),
        (("deeprect_a", "fashion_mnist"), 3),
        (("deeprect_a", "fashion_mnist@1"), 1),
        (("deeprect_a", "fashion_mnist@2"), 3),
        (("deeprect_a", "imagenet"), 2),
        (("deeprect_a", None, "relu"), 0),
        (("deeprect_b", None, "relu"), 4),
    ],
)
def test_selection(entries, arguments, expected):
    assert index.select(entries, *arguments) is entries[expected]


@pytest.mark.parametrize(
    "arguments",
    [
        ("deeprect_c",),
        ("deeprect_b",),
        ("deeprect_a", "cifar10"),
        ("deeprect_a", "imagenet@2"),
        ("deeprect_a", None, "prelu_shared"),
    ],
)
def test_what_is_not_published_says_how_to_publish_it(entries, arguments):
    with pytest.raises(LookupError, match=r"no trained weights of .* publish CHECKPOINT"):
        index.select(entries, *arguments)


def test_what_is_published_instead_is_named(entries):
    with pytest.raises(LookupError, match="there are deeprect_b-relu-imagenet@1"):
        index.select(entries, "deeprect_b")


def test_latest(entries):
    assert index.latest(entries) == [entries[0], entries[3], entries[2], entries[4]]
