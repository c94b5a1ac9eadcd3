"""ConvPReLU, one layer at a time: the fused operator against MXNet's convolution and our PReLU.

    python benchmarks/layers.py [--rounds 7] [--cpu-time]

Prints milliseconds for the shapes of the paper's networks, forward and forward + backward, medians
of interleaved rounds, and how many times faster the fused operator is. The rule by which ConvPReLU
chooses (see `_pays` in nn.py) comes from this table.
"""

from __future__ import annotations

import argparse
import statistics
import time

import deeprect_gluon  # noqa: F401  (prepares MXNet's environment)
import mxnet as mx
from deeprect_gluon.nn import ConvPReLU

# kernel, padding, batch, channels, filters, map
SHAPES = [
    *[(3, 1, n, c, c, size) for n in (1, 2, 8) for c, size in ((384, 56), (768, 28), (896, 14))],
    *[(3, 1, 2, c, c, size) for c, size in ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))],
    *[(3, 1, 64, c, c, size) for c, size in ((256, 8), (512, 4), (512, 2))],
    *[(2, pad, 16, 128, 128, 36) for pad in (0, 1)],
    *[(2, pad, 16, 256, 256, 18) for pad in (0, 1)],
    *[(2, pad, 128, 128, 128, 14 - pad) for pad in (0, 1)],
    *[(2, pad, 128, 256, 256, 7 - pad) for pad in (0, 1)],
    *[(2, pad, 128, 64, 64, 7 - pad) for pad in (0, 1)],
]


def layer(fast, kernel, pad, n, channels, filters, size):
    """Return functions that run the layer forward, and forward and backward."""
    block = ConvPReLU(filters, kernel, padding=pad, in_channels=channels, fast=fast)
    block.initialize(mx.init.MSRAPrelu())
    block.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(n, channels, size, size))
    x.attach_grad()

    def forward():
        block(x).wait_to_read()

    def train():
        with mx.autograd.record():
            y = block(x)
        y.backward()
        mx.nd.waitall()

    return forward, train


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, on a busy machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    print("kernel pad batch channels map | forward: plain, fused, ratio | training: the same")
    for kernel, pad, n, channels, filters, size in SHAPES:
        runs = [layer(fast, kernel, pad, n, channels, filters, size) for fast in (False, True)]
        times = [[[], []], [[], []]]
        for r in range(args.rounds + 1):
            for which, functions in enumerate(runs):
                for kind, function in enumerate(functions):
                    start = clock()
                    function()
                    if r:
                        times[kind][which].append(1e3 * (clock() - start))
        columns = []
        for plain, fused in times:
            a, b = statistics.median(plain), statistics.median(fused)
            columns.append(f"{a:8.1f} {b:8.1f} {a / b:5.2f}")
        print(f"{kernel} {pad} {n:4} {channels:4} {size:4} | {' | '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
