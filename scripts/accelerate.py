#!/usr/bin/env python
"""Make the inference of a saved MXNet model faster: show what changes, check it, and time it."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import mxnet as mx
import numpy as np

from deeprect_gluon import native
from deeprect_gluon.acceleration import accelerated, explain, to_fast_block
from deeprect_gluon.errors import run_program
from deeprect_gluon.export import export
from deeprect_gluon.graph import Graph, load, to_block
from deeprect_gluon.graph.passes import simplify
from deeprect_gluon.train.report import columns

# Of the largest value of an output; convolutions round differently.
TOLERANCE = 5e-5


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("prefix", help="the common beginning of -symbol.json and -0000.params")
    add("epoch", type=int, nargs="?", default=0, help="the number in the parameters' name")
    add("--input", default="data", help="the name of the net's input (default: data)")
    add(
        "--shape",
        type=int,
        nargs="+",
        required=True,
        metavar="N",
        help="of an image, without the batch, such as 3 112 112",
    )
    add("--batch", type=int, default=1, help="images in the check and the timing (default: 1)")
    add("--rounds", type=int, default=20, help="of the timing (default: 20)")
    add("--output", type=Path, help="write the accelerated net under this common beginning")
    return parser.parse_args(argv)


def describe(before: Graph, after: Graph) -> str:
    """Return a table: the layers, which operator does their work, and why MXNet's if so."""
    rows = [("layers", "operator", "")]
    for layers, operator, why in explain(before, after):
        rows.append((" + ".join(layers), operator, why and f"not ours: {why}"))
    return columns(rows)


def compare(before: Graph, after: Graph, x: mx.nd.NDArray, rounds: int) -> str:
    """Check that both give the same outputs, and time them in turns; return a sentence.

    Raises
    ------
    ValueError
        If the outputs differ by more than rounding.
    """
    blocks = [to_block(before, mx.cpu()), to_fast_block(after, mx.cpu())]
    expected, found = (block.outputs(x) for block in blocks)
    error = max(
        float(np.abs(y - reference).max() / max(np.abs(reference).max(), 1e-30))
        for y, reference in zip(found, expected)
    )
    if not error <= TOLERANCE:
        raise ValueError(
            f"the outputs differ by {error:.1e} of the largest value; the limit is {TOLERANCE:.0e}"
        )
    seconds: list[list[float]] = [[], []]
    for _ in range(rounds):
        for block, times in zip(blocks, seconds):
            start = time.perf_counter()
            block.outputs(x)
            times.append(time.perf_counter() - start)
    slow, fast = (1e3 * statistics.median(times) for times in seconds)
    return (
        f"outputs differ by {error:.1e} of the largest value; "
        f"{slow:.1f} ms before, {fast:.1f} ms after: {slow / fast:.2f} times as fast"
    )


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    native.keep_memory()
    before = load(args.prefix, args.epoch, [args.input])
    after = accelerated(before, mx.cpu())
    if after.inputs() != [args.input]:
        raise ValueError(f"the net has the inputs {', '.join(after.inputs())}; this takes one")
    print(describe(before, after))
    shape = (args.batch, *args.shape)
    x = mx.nd.array(np.random.default_rng(0).standard_normal(shape, np.float32))
    print(f"\n{compare(simplify(before), after, x, args.rounds)}")
    if args.output:
        for path in export(after, args.output, input_shape=tuple(args.shape)):
            print(path)


if __name__ == "__main__":
    run_program(main)
