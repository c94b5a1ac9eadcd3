"""Weights files that a stranger changed and then published, with right digests in the index."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import warnings
from pathlib import Path
from typing import Callable, Iterator

import mxnet as mx
import numpy as np

import zoo
from deeprect_gluon import models
from tests.zoo.test_weights import is_decoded_as_by_safetensors, mutated, with_a_strange_header
from zoo.store import DEFAULT
from zoo.weights import FORMATS, encode

NAME = "deeprect_small14"


def small_entry() -> tuple[dict, dict[str, np.ndarray]]:
    """Return an entry of the package's own index, with a narrow net in its place, and weights."""
    entry = json.loads((DEFAULT / "index.json").read_text())["entries"][0]
    entry["config"].update(width=0.02, hidden=[4])
    net = models.get_model(**entry["config"])
    net.initialize(mx.init.Xavier())
    size = entry["config"]["input_size"]
    net(mx.nd.zeros((1, 1, size, size)))
    return entry, {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}


def put(folder: Path, entry: dict, content: bytes) -> None:
    """Write a store of one entry with this weights file."""
    digest = hashlib.sha256(content).hexdigest()
    entry["weights"].update(file="net.safetensors", bytes=len(content), sha256=digest)
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights" / "net.safetensors").write_bytes(content)
    (folder / "index.json").write_text(json.dumps({"schema": 1, "entries": [entry]}))


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable]:
    entry, arrays = small_entry()
    good = [encode(arrays, form) for form in FORMATS]
    warnings.simplefilter("ignore", RuntimeWarning)  # changed scales overflow

    def trial(generator: np.random.Generator) -> str:
        rng = random.Random(int(generator.integers(1 << 62)))
        content = rng.choice(good)
        for _ in range(rng.randrange(1, 3)):
            with contextlib.suppress(ValueError):  # its header is JSON no longer
                content = rng.choice([mutated, with_a_strange_header])(content, rng)
        put(folder, entry, content)
        read = is_decoded_as_by_safetensors(content)
        try:
            net = zoo.get_model(NAME, pretrained=True, repo=folder, root=folder / "cache")
        except ValueError:
            return "fit no net" if read else "refused"
        found = net._collect_params_with_prefix()
        assert read, "a file that cannot be decoded was loaded"
        assert {n: p.data().shape for n, p in found.items()} == {
            n: array.shape for n, array in arrays.items()
        }
        return "loaded, with right shapes"

    yield trial
