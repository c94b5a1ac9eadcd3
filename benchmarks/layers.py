"""One layer at a time: our operators ("fast") against MXNet's ("plain", that is fast=False).

    python benchmarks/layers.py [--rounds 7] [--cpu-time]

Prints Markdown tables of milliseconds for the layers of the paper's networks, forward and forward +
backward, both behind a copy, medians of interleaved rounds, and how many times faster ours are. The
rules by which the blocks choose (`_is_fast` in nn.py) come from these tables.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import Callable

from deeprect_gluon import native
from deeprect_gluon.nn import ConvPReLU, Dense, MaxPool2D

import mxnet as mx  # isort: skip  (its environment is prepared by then)


def convolution(kernel: int, pad: int, batch: int, channels: int, size: int):
    make = partial(ConvPReLU, channels, kernel, padding=pad, in_channels=channels)
    return make, (batch, channels, size, size)


def dense(batch: int, inputs: int, outputs: int):
    return partial(Dense, outputs, in_units=inputs), (batch, inputs)


def pool(window: int, stride: int, batch: int, channels: int, size: int):
    return partial(MaxPool2D, window, stride), (batch, channels, size, size)


# The kind of layer, what its arguments are called, and their values.
TABLES = [
    (
        convolution,
        ("kernel", "pad", "batch", "channels", "map"),
        [
            *[(3, 1, n, *c) for n in (1, 2, 8) for c in ((384, 56), (768, 28), (896, 14))],
            *[(3, 1, 2, *c) for c in ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))],
            *[(3, 1, 64, *c) for c in ((256, 8), (512, 4), (512, 2))],
            *[(2, pad, 16, *c) for c in ((128, 36), (256, 18)) for pad in (0, 1)],
            *[
                (2, pad, 128, c, m - pad)
                for c, m in ((128, 14), (256, 7), (64, 7))
                for pad in (0, 1)
            ],
        ],
    ),
    (
        dense,
        ("batch", "inputs", "outputs"),
        [
            *[(n, 56448, 4096) for n in (1, 2, 8)],
            *[(n, inputs, 4096) for inputs in (12800, 4096) for n in (1, 8, 128)],
        ],
    ),
    (
        pool,
        ("window", "stride", "batch", "channels", "map"),
        [
            (3, 3, 2, 96, 112),
            (2, 2, 2, 384, 56),
            (2, 2, 8, 768, 28),
            (3, 3, 128, 64, 28),
            (2, 2, 128, 128, 14),
            (7, 7, 2, 896, 7),
            (2, 1, 2, 896, 7),
        ],
    ),
]


def passes(block: mx.gluon.HybridBlock, shape: tuple[int, ...]) -> tuple[Callable, Callable]:
    """Return functions that run a block forward, and forward and backward.

    It comes behind a copy. Our operators copy what enters a graph from outside; inside of a network
    they do not.
    """
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.HybridLambda("identity"), block)
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=shape)
    x.attach_grad()

    def forward():
        net(x).wait_to_read()

    def train():
        with mx.autograd.record():
            y = net(x)
        y.backward()
        mx.nd.waitall()

    return forward, train


def compare(make: Callable, shape: tuple[int, ...], rounds: int, clock: Callable) -> list[str]:
    """Return the columns of a table for make(fast=...) and data of a shape."""
    runs = [passes(make(fast=fast), shape) for fast in (False, True)]
    times = [[[], []], [[], []]]
    for r in range(rounds + 1):
        for which, functions in enumerate(runs):
            for kind, function in enumerate(functions):
                start = clock()
                function()
                if r:
                    times[kind][which].append(1e3 * (clock() - start))
    columns = []
    for kind in times:
        theirs, ours = map(statistics.median, kind)
        columns += [f"{theirs:.1f}", f"{ours:.1f}", f"{theirs / ours:.2f}"]
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, on a busy machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    native.keep_memory()

    timed = [f"{kind}: {t}" for kind in ("forward", "training") for t in ("plain", "fast", "ratio")]
    for layer, arguments, cases in TABLES:
        titles = [*arguments, *timed]
        print(f"\n**{layer.__name__}**\n\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
        for case in cases:
            columns = compare(*layer(*case), args.rounds, clock)
            print(f"| {' | '.join([*map(str, case), *columns])} |", flush=True)


if __name__ == "__main__":
    main()
