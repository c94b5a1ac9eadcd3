"""Indices that a stranger changed: bytes of the file, or values of its JSON."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

import zoo
from tests.attacks.weights import NAME, put, small_entry
from tests.zoo.test_weights import mutated
from zoo import index
from zoo.publishing.cards import card
from zoo.store import open_store
from zoo.weights import encode


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


# What a stranger may put in place of any value.
STRANGE = (
    *(None, True, -1, 0, 1, 2, 28.0, 0.5, 1e-300, 1e308, 10**9, 10**18, 10**400),
    *(float("nan"), float("inf"), "", "a", "a\n", "\ud800", "../a", "x" * 100_000, [], {}),
    *([1_000_000_000], [0] * 100_000, [[]], [None], {"a": 1}, deep(300), deep(900), ["\x1b[2J"]),
)


def containers(value: Any) -> Iterator[dict | list]:
    """Yield all objects and arrays that are in a value, and the value itself."""
    if isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


def with_a_strange_value(good: bytes, rng: random.Random) -> bytes:
    """Replace, add or remove a value anywhere."""
    value = json.loads(good)
    place = rng.choice([c for c in containers(value) if c])
    key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
    kind = rng.randrange(4)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place["surprise"] = rng.choice(STRANGE)
    else:
        place[key] = rng.choice(STRANGE)
    return json.dumps(value).encode()


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable]:
    entry, arrays = small_entry()
    put(folder, entry, encode(arrays, "float16"))
    path = folder / "index.json"
    good = path.read_bytes()
    expected = zoo.get_model(NAME, pretrained=True, repo=folder)
    shapes = [p.shape for p in expected.collect_params().values()]

    def trial(generator: np.random.Generator) -> str:
        rng = random.Random(int(generator.integers(1 << 62)))
        content = good
        for _ in range(rng.randrange(1, 3)):
            change = rng.choice([mutated, with_a_strange_value, with_a_strange_value])
            with contextlib.suppress(ValueError, RecursionError):  # it is JSON no longer
                content = change(content, rng)
        path.write_bytes(content)
        try:
            entries = open_store(folder).entries
        except ValueError as error:
            message = str(error)
        else:
            return accepted(entries)
        assert len(message.encode()) < 1000
        return "refused"

    def accepted(entries: list) -> str:
        for each in entries:
            card(each).encode()
        index.dump({"schema": 1, "entries": entries})
        try:
            net = zoo.get_model(NAME, pretrained=True, repo=folder, root=folder / "cache")
        except (ValueError, LookupError, OSError):
            return "accepted, without a net"
        assert [p.shape for p in net.collect_params().values()] == shapes
        return "accepted, with the net"

    yield trial
