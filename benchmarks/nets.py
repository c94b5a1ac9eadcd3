"""Whole networks: ours, ours without the fused convolution, and PyTorch, side by side.

    DEEPRECT_BENCH_TORCH_PYTHON=/path/to/python python benchmarks/nets.py
        [--models deeprect_a ...] [--batches 1 2 8] [--modes inference training] [--rounds 5]

PyTorch is left out unless the environment names an interpreter that has it. Every contender is a
process of its own with the same weights and images, whose outputs are compared first; rounds are
interleaved. Prints a Markdown table: medians in milliseconds, how many times faster ours is than
each of the others, and peak memory. A training step is forward, backward and an SGD update.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SMALL = {"stem": "small_image", "input_size": 28, "in_channels": 1, "classes": 10}
TORCH = Path(__file__).with_name("torch_nets.py")


def configuration(name: str) -> dict:
    return {"name": name, **(SMALL if name.startswith("deeprect_small") else {})}


def describe(net) -> dict:
    """Return what another framework needs to build the same network."""
    from deeprect_gluon.models import Config
    from deeprect_gluon.models.config import MaxPool

    config = Config(**net.config)
    layers = [
        ["pool", layer.kernel, layer.stride]
        if isinstance(layer, MaxPool)
        else ["conv", layer.filters, layer.kernel, layer.stride, layer.pads[0]]
        for layer in config.layers
    ]
    return {
        "in_channels": config.in_channels,
        "layers": layers,
        "map_size": config.map_size(),
        "pyramid": config.pyramid,
        "hidden": config.hidden,
        "classes": config.classes,
        "dropout": config.dropout,
    }


def serve(fast: bool) -> None:
    """Answer requests, one JSON line each; torch_nets.py speaks the same protocol."""
    import mxnet as mx

    import deeprect_gluon  # noqa: F401  (prepares MXNet's environment)
    from deeprect_gluon.initializer import MSRA, rectifier_slopes
    from deeprect_gluon.models import get_model

    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            folder = Path(request["load"])
            net = get_model(**request["config"], fast=fast)
            if request["mode"] == "inference":
                net.collect_params().setattr("grad_req", "null")
            net.initialize(MSRA(rectifier_slopes(net), seed=1))
            net.hybridize(static_alloc=True, static_shape=True)
            x = mx.nd.array(np.load(folder / "x.npy"))
            label = mx.nd.zeros((len(x),))
            y = net(x).asnumpy()
            if request["save"]:
                values = [p.data().asnumpy() for p in net.collect_params().values()]
                np.savez(folder / "weights.npz", *values)
                (folder / "net.json").write_text(json.dumps(describe(net)))
            np.save(folder / "y.npy", y)
            if request["mode"] == "training":
                trainer = mx.gluon.Trainer(
                    net.collect_params(), "sgd", {"learning_rate": 1e-9, "momentum": 0.9}
                )
            answer = {}
        else:
            start = time.perf_counter()
            if request["time"] == "inference":
                net(x).wait_to_read()
            else:
                with mx.autograd.record():
                    value = loss(net(x), label)
                value.backward()
                trainer.step(len(x))
                mx.nd.waitall()
            answer = {"seconds": time.perf_counter() - start}
        answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(answer), flush=True)


class Contender:
    """A process that runs one implementation."""

    def __init__(self, command: list[str]):
        threads = str(len(os.sched_getaffinity(0)))
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)},
        )

    def ask(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def commands() -> dict[str, list[str]]:
    this = [sys.executable, __file__, "--serve"]
    result = {"fused": [*this, "fused"], "plain": [*this, "plain"]}
    torch = os.environ.get("DEEPRECT_BENCH_TORCH_PYTHON")
    if torch:
        result["PyTorch"] = [torch, str(TORCH)]
    return result


def compare(name: str, batch: int, mode: str, rounds: int) -> str:
    """Return a row of the table."""
    config = configuration(name)
    with tempfile.TemporaryDirectory() as folder:
        from deeprect_gluon.models import Config

        full = Config(**config)
        shape = (batch, full.in_channels, full.input_size, full.input_size)
        x = np.random.default_rng(0).standard_normal(shape)
        np.save(f"{folder}/x.npy", x.astype(np.float32))
        load = {"load": folder, "config": config, "mode": mode}
        contenders = {key: Contender(command) for key, command in commands().items()}
        writer = Contender(commands()["plain"])  # a process of its own: its memory is not counted
        writer.ask(**load, save=True)
        writer.close()
        outputs = {}
        for key, contender in contenders.items():
            contender.ask(**load, save=False)
            outputs[key] = np.load(f"{folder}/y.npy")
        first = outputs["fused"]
        for key, y in outputs.items():
            error = np.abs(y - first).max() / np.abs(first).max()
            if not error < 1e-4:
                raise RuntimeError(f"{key} differs from ours by {error:.1e}: nothing to compare")
        times = {key: [] for key in contenders}
        for r in range(rounds + 1):
            for key, contender in contenders.items():
                answer = contender.ask(time=mode)
                if r:
                    times[key].append(answer["seconds"])
        peaks = {key: contender.ask(time=mode)["peak"] for key, contender in contenders.items()}
        for contender in contenders.values():
            contender.close()
    medians = {key: statistics.median(t) for key, t in times.items()}
    cells = [f"{1e3 * m:.0f}" for m in medians.values()]
    cells += [f"{m / medians['fused']:.2f}" for key, m in medians.items() if key != "fused"]
    cells += [f"{p:.1f}" for p in peaks.values()]
    return f"| {name} | {mode} | {batch} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["deeprect_small14", "deeprect_a"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 8])
    parser.add_argument("--modes", nargs="+", default=["inference", "training"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=["fused", "plain"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve == "fused")
        return
    keys = list(commands())
    head = ["net", "mode", "batch", *(f"{key}, ms" for key in keys)]
    head += [f"{key} / fused" for key in keys[1:]] + [f"{key}, GiB" for key in keys]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for name in args.models:
        for mode in args.modes:
            for batch in args.batches:
                print(compare(name, batch, mode, args.rounds), flush=True)


if __name__ == "__main__":
    main()
