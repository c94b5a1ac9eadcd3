"""Where a training step of a network spends its time, layer by layer, beside two floors.

    python benchmarks/where.py [--models deeprect_c …] [--batch 2] [--rounds 5]

Each layer runs on its own, forward and backward, with the activations that the whole network gives
it; alone, ours copy their input, which inside of a network they do not. The floor of a pass is the
larger of its multiply-adds, as a direct convolution needs them, at the speed of a large matrix
product, and its bytes at the speed of a copy; both speeds are measured in the same run. Winograd's
algorithm needs fewer products and can stay below the first. Equal layers are added up. Prints a
Markdown table for each network.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from dataclasses import dataclass
from typing import Callable

from nets import SMALL
from prelu import Floor

from deeprect_gluon import native, nn
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import get_model, model_names

import mxnet as mx  # isort: skip  (its environment is prepared by then)


def seconds(run: Callable[[], None], rounds: int) -> float:
    """Return the median time of a call, after one that is not counted."""
    samples = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        mx.nd.waitall()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples[1:])


@dataclass
class Machine:
    """Speeds to measure by: multiply-adds and bytes in a second."""

    multiply_adds: float
    bytes: float

    @classmethod
    def measure(cls, rounds: int) -> Machine:
        n, size = 4096, 1 << 25
        a, b = mx.nd.random.normal(shape=(2, n, n))
        product = seconds(lambda: mx.nd.FullyConnected(a, b, no_bias=True, num_hidden=n), rounds)
        floor = Floor(size, native.threads())
        copy = statistics.median(floor.time("forward", 1) for _ in range(rounds))
        return cls(n**3 / product, 8 * size / copy)

    def floor(self, multiply_adds: float, floats: float) -> float:
        return max(multiply_adds / self.multiply_adds, 4 * floats / self.bytes)


@dataclass
class Cost:
    """Seconds and floors of the layers of one kind."""

    times: int = 0
    forward: float = 0
    backward: float = 0
    forward_floor: float = 0
    backward_floor: float = 0


def kind(block: mx.gluon.HybridBlock, x: mx.nd.NDArray) -> str:
    weight = block._reg_params.get("weight")
    if isinstance(block, nn.ConvPReLU):
        filters, channels, side, _ = weight.shape
        return f"convolution {side}x{side}, {channels} to {filters}, and PReLU, map of {x.shape[2]}"
    if isinstance(block, mx.gluon.nn.Dense):
        return f"fully connected, {weight.shape[1]} to {weight.shape[0]}"
    if isinstance(block, nn.MaxPool2D):
        return "max pooling"
    return type(block).__name__


def update_seconds(net: mx.gluon.HybridBlock, x: mx.nd.NDArray, rounds: int) -> float:
    """Return the median time of an SGD update with momentum."""
    trainer = mx.gluon.Trainer(
        net.collect_params(), "fusedsgd", {"learning_rate": 1e-9, "momentum": 0.9}, kvstore=None
    )
    samples = []
    for _ in range(rounds + 1):
        with mx.autograd.record():
            y = net(x)
        y.backward()
        mx.nd.waitall()
        start = time.perf_counter()
        trainer.step(len(x))
        mx.nd.waitall()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples[1:])


def profile(
    net: mx.gluon.HybridBlock, images: mx.nd.NDArray, machine: Machine, rounds: int
) -> dict[str, Cost]:
    """Return {kind of layer: Cost} of a network, in order, its update last."""
    costs: dict[str, Cost] = {}
    x = images
    for block in [*net.features._children.values(), net.output]:
        block.hybridize(static_alloc=True, static_shape=True)
        x = x.detach()
        x.attach_grad()
        with mx.autograd.record():
            y = block(x)
        dy = mx.nd.ones_like(y)

        def forward(block=block, x=x):
            with mx.autograd.record():
                block(x)

        def both(block=block, x=x, dy=dy):
            with mx.autograd.record():
                y = block(x)
            y.backward(dy)

        weight = block._reg_params.get("weight")
        products = y.size * math.prod(weight.shape[1:]) if weight is not None else 0
        size = sum(p.data().size for p in block.collect_params().values())
        cost = costs.setdefault(kind(block, x), Cost())
        once = seconds(forward, rounds)
        cost.times += 1
        cost.forward += once
        cost.backward += seconds(both, rounds) - once
        cost.forward_floor += machine.floor(products, x.size + y.size + size)
        cost.backward_floor += machine.floor(2 * products, 2 * (x.size + y.size + size))
        x = y
    size = sum(p.data().size for p in net.collect_params().values())
    update = update_seconds(net, images, rounds)
    # Reads weight, gradient and momentum; writes weight and momentum.
    costs["update of the parameters"] = Cost(1, 0, update, 0, machine.floor(0, 5 * size))
    return costs


def table(costs: dict[str, Cost]) -> str:
    def cells(name, times, passed, floors):
        whole = f"{times} of {name}" if times > 1 else name
        return f"| {whole} | " + " | ".join(
            f"{1e3 * t:.1f} | {1e3 * f:.1f} | {t / f:.2f}" if f else " | | "
            for t, f in zip(passed, floors)
        )

    total = (sum(c.forward + c.backward for c in costs.values()),)
    lines = [
        "| layers | forward, ms | floor | ratio | backward, ms | floor | ratio | of the step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, c in costs.items():
        row = cells(name, c.times, (c.forward, c.backward), (c.forward_floor, c.backward_floor))
        lines.append(f"{row} | {(c.forward + c.backward) / total[0]:.0%} |")
    sums = [sum(getattr(c, f) for c in costs.values()) for f in Cost.__dataclass_fields__]
    row = cells("all", 1, (sums[1], sums[2]), (sums[3], sums[4]))
    return "\n".join([*lines, f"{row} | 100% |"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", default=["deeprect_a", "deeprect_c"], choices=model_names())
    add("--batch", type=int, default=2)
    add("--rounds", type=int, default=5)
    args = parser.parse_args()
    native.keep_memory()
    machine = Machine.measure(args.rounds)
    print(
        f"a product of two 4096x4096 matrices: {machine.multiply_adds / 1e9:.0f} billion "
        f"multiply-adds a second; a copy: {machine.bytes / 1e9:.1f} GB/s"
    )
    for name in args.models:
        net = get_model(name, **(SMALL if "small" in name else {}))
        net.initialize(MSRA(rectifier_slopes(net), seed=1))
        size, channels = net.config["input_size"], net.config["in_channels"]
        x = mx.nd.random.normal(shape=(args.batch, channels, size, size))
        print(f"\n{name}, {args.batch} images of {size} pixels\n")
        print(table(profile(net, x, machine, args.rounds)))


if __name__ == "__main__":
    main()
