#!/usr/bin/env python
"""Time building and initialising a network: this project's MSRA beside MXNet's MSRAPrelu.

The floor is the time in which all cores write as many numbers into memory that is as fresh.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import deeprect_gluon  # noqa: F401  (prepares MXNet's environment)
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import get_model, model_names, summary

import mxnet as mx  # isort: skip


def seconds(name: str, ours: bool) -> float:
    """Return the time until the last parameter is there."""
    start = time.perf_counter()
    net = get_model(name)
    net.initialize(MSRA(rectifier_slopes(net)) if ours else mx.init.MSRAPrelu("in"))
    mx.nd.waitall()
    return time.perf_counter() - start


def floor(size: int) -> float:
    start = time.perf_counter()
    parts = np.array_split(np.empty(size, np.float32), len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.fill(1), parts))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", default="deeprect_c", choices=model_names())
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    size = summary(get_model(args.model)).parameters
    contenders = {
        "MSRA": lambda: seconds(args.model, ours=True),
        "MXNet's MSRAPrelu": lambda: seconds(args.model, ours=False),
        "writing to memory": lambda: floor(size),
    }
    times = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, run in contenders.items():
            times[name].append(run())
    print(f"{args.model}, {size:,} parameters: seconds, median and rounds")
    for name, found in times.items():
        rounds = "".join(f"{t:7.2f}" for t in found)
        print(f"{name:<20}{statistics.median(found):7.2f}  {rounds}")


if __name__ == "__main__":
    main()
