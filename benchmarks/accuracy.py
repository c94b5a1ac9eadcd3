"""What Winograd's rounding does to whole networks: errors over depth, and trainings.

    python benchmarks/accuracy.py depth [--models deeprect_small30 deeprect_a]
    python benchmarks/accuracy.py training [--seeds 5] [--steps 468]
    python benchmarks/accuracy.py bfloat16 [--models deeprect_a] [--batch 2] [--rounds 5]

`depth` compares every activation, and at the end the gradients of the weights, of the fused and of
the plain convolutions with a float64 network of the same weights. `training` trains the 14-layer
net on Fashion-MNIST with both, from the same seeds and on the same batches, and compares the test
errors. `bfloat16` times the inference of networks that MXNet converted to that type, for processors
that compute in it, beside ours, with the errors of both. Prints Markdown tables; pictures go into
runs/bench, or where --output, before the command, says.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nets import SMALL
from prelu import RESULTS
from scipy import stats

from deeprect_gluon import native
from deeprect_gluon.initializer import MSRA, initialize, rectifier_slopes
from deeprect_gluon.models import get_model, model_names
from deeprect_gluon.train import Recipe, TrainConfig, Workers, fashion_mnist, loop

import mxnet as mx  # isort: skip  (its environment is prepared by then)
from mxnet.contrib import amp  # isort: skip

ALGORITHMS = {"fused": True, "plain": False}


def activations_and_gradients(
    name: str, x: np.ndarray, dtype: str, fast: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each layer's output, and the gradient of each convolution's weights."""
    net = get_model(name, fast=fast, dropout=0, **(SMALL if "small" in name else {}))
    net.initialize(MSRA(rectifier_slopes(net), seed=1))
    net.cast(dtype)
    y, outputs = mx.nd.array(x, dtype=dtype), []
    with mx.autograd.record():
        for layer in [*net.features._children.values(), net.output]:
            y = layer(y)
            outputs.append(y)
    y.backward(mx.nd.ones_like(y))
    convolutions = (p for n, p in net.collect_params(".*conv.*weight").items())
    return [o.asnumpy() for o in outputs], [p.grad().asnumpy() for p in convolutions]


def errors(got: list[np.ndarray], exact: list[np.ndarray]) -> np.ndarray:
    """Return the root mean square of each array's error, relative to that of its values."""
    return np.array([np.linalg.norm(g - e) / np.linalg.norm(e) for g, e in zip(got, exact)])


def depth(names: list[str], output: Path) -> None:
    figure = Figure(figsize=(5 * len(names), 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    print("| network | algorithm | first layer | last convolution | scores | gradients, worst |")
    print("|---|---|---|---|---|---|")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        size, channels = (28, 1) if "small" in name else (224, 3)
        x = np.random.default_rng(0).standard_normal((1, channels, size, size))
        exact, exact_gradients = activations_and_gradients(name, x, "float64", fast=False)
        last = max(i for i, y in enumerate(exact) if y.ndim == 4)
        for label, fast in ALGORITHMS.items():
            outputs, gradients = activations_and_gradients(name, x, "float32", fast)
            error = errors(outputs, exact)
            worst = errors(gradients, exact_gradients).max()
            axes.semilogy(range(1, len(error) + 1), error, "o-", markersize=3, label=label)
            cells = (f"{e:.1e}" for e in (error[0], error[last], error[-1], worst))
            print(f"| {name} | {label} | {' | '.join(cells)} |", flush=True)
        axes.set(title=name, xlabel="layer", ylabel="relative error against float64")
        axes.legend()
    figure.savefig(output / "accuracy_depth.png")


def train(seed: int, fast: bool, steps: int) -> list:
    config = TrainConfig(epochs=1 + steps // 469, max_steps=steps, seed=seed, report_every=10)
    model = {"name": "deeprect_small14", "width": 0.25, "hidden": (256, 256), "fast": fast}
    recipe = Recipe(model, {"rule": "msra", "fan": "in"}, {}, config)
    task = fashion_mnist.task(recipe, Workers())
    initialize(task.net, **recipe.init, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        return loop.train(task, config, Path(folder), Workers()).rows


def training(seeds: int, steps: int, output: Path) -> None:
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    final = {}
    for label, fast in ALGORITHMS.items():
        runs = [train(seed, fast, steps) for seed in range(seeds)]
        losses = np.array([[row.train_loss for row in rows] for rows in runs])
        at = [row.step for row in runs[0]]
        (line,) = axes.plot(at, losses.mean(0), label=f"{label}, mean of {seeds} seeds")
        axes.fill_between(at, losses.min(0), losses.max(0), color=line.get_color(), alpha=0.2)
        final[label] = 100 * np.array([rows[-1].val_error for rows in runs])
    axes.set(xlabel="step", ylabel="training loss (nats)", ylim=(0, None))
    axes.set_title("14-layer net on Fashion-MNIST; the bands hold all seeds")
    axes.legend()
    figure.savefig(output / "accuracy_training.png")
    difference = final["fused"] - final["plain"]
    half = stats.t.ppf(0.975, seeds - 1) * difference.std(ddof=1) / np.sqrt(seeds)
    print(f"| seed | {' | '.join(map(str, range(seeds)))} | mean |\n|{'---|' * (seeds + 2)}")
    for label, values in {**final, "difference": difference}.items():
        print(f"| {label} | {' | '.join(f'{v:.2f}' for v in (*values, values.mean()))} |")
    print(f"\ntest error in %; difference {difference.mean():+.2f} +- {half:.2f} (95 %, paired t)")


def bfloat16(names: list[str], batch: int, rounds: int) -> None:
    print("| network | ours, ms | bfloat16, ms | ratio | error of ours | of bfloat16 |")
    print("|---|---|---|---|---|---|")
    for name in names:
        size, channels = (28, 1) if "small" in name else (224, 3)
        x = np.random.default_rng(0).standard_normal((batch, channels, size, size))
        exact = activations_and_gradients(name, x, "float64", fast=False)[0][-1]
        data, contenders, times, found = mx.nd.array(x), [], [[], []], []
        for fast in (True, False):
            net = get_model(name, fast=fast, **(SMALL if "small" in name else {}))
            net.collect_params().setattr("grad_req", "null")
            net.initialize(MSRA(rectifier_slopes(net), seed=1))
            net.hybridize(static_alloc=True, static_shape=True)
            net(data)
            # Winograd's transforms need float32: the other type is for MXNet's convolution.
            if not fast:
                net = amp.convert_hybrid_block(net, ctx=mx.cpu(), target_dtype="bfloat16")
                net.hybridize(static_alloc=True, static_shape=True)
            contenders.append(net)
            found.append(net(data).astype("float32").asnumpy())
        for _ in range(rounds):
            for contender, samples in zip(contenders, times):
                start = time.perf_counter()
                contender(data).wait_to_read()
                samples.append(time.perf_counter() - start)
        ours, theirs = (1e3 * np.median(samples) for samples in times)
        error = errors(found, [exact, exact])
        cells = f"{ours:.1f} | {theirs:.1f} | {theirs / ours:.2f} | {error[0]:.1e} | {error[1]:.1e}"
        print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for pictures")
    commands = parser.add_subparsers(required=True, metavar="depth|training|bfloat16")
    sub = commands.add_parser("depth")
    models = ["deeprect_small30", "deeprect_a"]
    sub.add_argument("--models", nargs="+", default=models, choices=model_names())
    sub.set_defaults(run=lambda args: depth(args.models, args.output))
    sub = commands.add_parser("training")
    sub.add_argument("--seeds", type=int, default=5)
    sub.add_argument("--steps", type=int, default=468)
    sub.set_defaults(run=lambda args: training(args.seeds, args.steps, args.output))
    sub = commands.add_parser("bfloat16")
    sub.add_argument("--models", nargs="+", default=["deeprect_a"], choices=model_names())
    sub.add_argument("--batch", type=int, default=2)
    sub.add_argument("--rounds", type=int, default=5)
    sub.set_defaults(run=lambda args: bfloat16(args.models, args.batch, args.rounds))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    native.keep_memory()
    args.run(args)


if __name__ == "__main__":
    main()
