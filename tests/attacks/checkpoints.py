"""Checkpoints whose digests are right: mutated heads, states and names, and what is no file."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator

import mxnet as mx
import numpy as np

from deeprect_gluon.data import Batches
from deeprect_gluon.train import Checkpoints, TrainConfig, fit
from deeprect_gluon.train.checkpoint import DamagedCheckpointError

CONFIG = TrainConfig(epochs=2, batch_size=4, lr=0.01, plateau=1, checkpoint_every=2)
VALUES: tuple = (
    *(None, True, 0, 1, -1, 0.5, 1e400, float("nan"), 1 << 70, "", "text", "\ud800", [], {}),
    *([1], [[1, 2]], [[[]]], {"best": 1}, [0] * 1000),
)


def _net() -> mx.gluon.HybridBlock:
    net = mx.gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(mx.gluon.nn.Dense(3, in_units=5), mx.gluon.nn.Dense(2, in_units=3))
    net.initialize()
    return net


def _parts(content: bytes) -> tuple[dict, bytes]:
    """Return the header of a safetensors file, its state parsed, and its data."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["state"] = json.loads(header["__metadata__"]["state"])
    return header, content[8 + size :]


def _join(header: dict, data: bytes) -> bytes:
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and "state" in metadata:
        metadata["state"] = json.dumps(metadata["state"])
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _change(values: Any, random: np.random.Generator) -> None:
    """Replace, remove or add a value somewhere in a tree of dicts and lists."""
    while True:
        keys = list(values) if isinstance(values, dict) else list(range(len(values)))
        key = keys[random.integers(len(keys))]
        if isinstance(values[key], (dict, list)) and values[key] and random.random() < 0.8:
            values = values[key]
            continue
        value = copy.deepcopy(VALUES[random.integers(len(VALUES))])
        kind = random.integers(4)
        if kind == 0:
            del values[key]
        elif kind == 1 and isinstance(values, dict):
            values["more"] = value
        else:
            values[key] = value
        return


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable[[np.random.Generator], str]]:
    """Yield a trial that continues a small training from a mutated checkpoint."""
    logging.disable(logging.WARNING)
    rng = np.random.default_rng(0)
    data = Batches(rng.normal(size=(12, 5)).astype(np.float32), np.arange(12) % 2, 4, True)
    checkpoints = Checkpoints(folder / "checkpoints")
    fit(_net(), data, data, CONFIG, checkpoints=checkpoints)
    found = [(path, path.read_bytes()) for _, path in checkpoints.found()]

    def replace(random: np.random.Generator) -> None:
        """Put the older checkpoint, and something in place of the newest, into the folder."""
        for path in checkpoints.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path, content in found[:-1]:
            path.write_bytes(content)
        path, content = found[-1]
        kind = random.integers(8)
        if kind == 0:
            path.symlink_to(("nowhere", "/dev/zero", ".", path.name)[random.integers(4)])
        elif kind == 1:
            path.mkdir() if random.random() < 0.5 else os.mkfifo(path)
        else:
            header, values = _parts(content)
            if kind < 5:
                _change(header["__metadata__"]["state"], random)
            elif kind == 5:
                _change(header, random)
            content = _join(header, values)
            if kind > 5:
                changed = bytearray(content)
                for _ in range(random.integers(1, 4)):
                    changed[int(len(changed) ** random.random()) - 1] = random.integers(256)
                content = bytes(changed[: None if kind == 6 else random.integers(len(changed))])
            digest = hashlib.sha256(content).hexdigest()[:32]
            path.with_name(f"step-00000099-{digest}.safetensors").write_bytes(content)

    def trial(random: np.random.Generator) -> str:
        replace(random)
        try:
            history = fit(_net(), data, data, CONFIG, checkpoints=checkpoints, resume=True)
        except DamagedCheckpointError:
            return "refused as damaged"
        except ValueError:
            return "refused"
        except FloatingPointError:
            return "diverged"
        return "continued" if history.rows else "taken as finished"

    yield trial
