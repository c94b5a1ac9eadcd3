#!/usr/bin/env python
"""Time building and initialising a network: this project's MSRA beside MXNet's MSRAPrelu."""

from __future__ import annotations

import argparse
import time

import deeprect_gluon  # noqa: F401  (prepares MXNet's environment)
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import get_model, model_names

import mxnet as mx  # isort: skip


def seconds(name: str, ours: bool) -> float:
    """Return the time until the last parameter and gradient array is there."""
    start = time.perf_counter()
    net = get_model(name)
    net.initialize(MSRA(rectifier_slopes(net)) if ours else mx.init.MSRAPrelu("in"))
    mx.nd.waitall()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", default="deeprect_c", choices=model_names())
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"building and initialising {args.model}, seconds, round by round")
    for label, ours in (("MSRA", True), ("MXNet's MSRAPrelu", False)):
        times = [seconds(args.model, ours) for _ in range(args.rounds)]
        print(f"{label:<20}" + "".join(f"{t:8.2f}" for t in times))


if __name__ == "__main__":
    main()
