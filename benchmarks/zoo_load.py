#!/usr/bin/env python
"""How long a trained net takes to load, beside reading its file and beside Gluon's own way.

The net is model C for 32x32 images (81 M parameters), with random weights. The file is in the
system's cache, or, for the two rows that say so, has to come from the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import mxnet as mx

from deeprect_gluon import models
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from zoo import weights
from zoo.store import open_store

CONFIG = {
    "name": "deeprect_c",
    "classes": 10,
    "in_channels": 1,
    "input_size": 32,
    "pyramid": (2, 1),
    "hidden": (512, 512),
}


def forget(path: Path) -> None:
    """Have the system drop a file from its cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(work) -> float:
    mx.nd.waitall()
    begun = time.perf_counter()
    result = work()
    mx.nd.waitall()
    elapsed = time.perf_counter() - begun
    del result
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=weights.FORMATS, default="int8")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()

    def initialised():
        net = models.get_model(**CONFIG)
        net.initialize(MSRA(rectifier_slopes(net)))
        return net

    with tempfile.TemporaryDirectory() as folder:
        path, plain = Path(folder) / "weights" / "net.safetensors", Path(folder) / "net.params"
        path.parent.mkdir()
        store = open_store(folder)
        net = initialised()
        net.save_parameters(str(plain))
        arrays = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
        content = weights.encode(arrays, args.format)
        path.write_bytes(content)
        file = {
            "file": path.name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        del net, arrays, content

        def zoo():
            net = models.get_model(**CONFIG)
            models.load_weights(net, store.read(file, weights.decode), mx.cpu())
            return net

        def gluon():
            net = models.get_model(**CONFIG)
            net.load_parameters(str(plain))
            return net

        works = {
            "read the file from the disk": path.read_bytes,
            "zoo: net ready, from the disk": zoo,
            f"read the file ({args.format})": path.read_bytes,
            "read and check it": lambda: store.read(file),
            "zoo: net ready, gradients included": zoo,
            "Gluon: load_parameters, float32, unchecked": gluon,
            "initialise at random instead": initialised,
        }
        times = {label: [] for label in works}
        for _ in range(args.repeats):
            for label, work in works.items():
                if "disk" in label:
                    forget(path)
                times[label].append(seconds(work))
        for label, values in times.items():
            print(f"{label:45} {min(values):.3f} s  median {statistics.median(values):.3f} s")


if __name__ == "__main__":
    main()
