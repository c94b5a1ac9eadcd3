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


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2"])
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
