"""Whole networks: ours, MXNet, PyTorch and ONNX Runtime, side by side.

    DEEPRECT_BENCH_TORCH_PYTHON=/path/to/python python benchmarks/nets.py
        [--models deeprect_a …] [--batches 1 2 8] [--modes inference training]
        [--contenders MXNet …] [--rounds 5]

Every contender is a process of its own (see contenders/) with the same weights and images, its
library's own settings, and a C library that keeps freed memory. Outputs are compared before
anything is timed; then the contenders take turns of as many passes as ours does in half a second,
so that a slow moment of the machine meets all of them. PyTorch is left out unless the environment
names an interpreter that has it. All are in memory at once, 25 GB for model C's training with eight
images: --contenders leaves some out. Prints Markdown tables of medians in milliseconds and of peak
memory, and writes nets_benchmark.json and nets_benchmark.png into runs/bench.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from prelu import KEEP_MEMORY, RESULTS

from deeprect_gluon.files import write_text_atomically
from deeprect_gluon.models import Config, model_names

CONTENDERS = Path(__file__).with_name("contenders")
SMALL = {"stem": "small_image", "input_size": 28, "in_channels": 1, "classes": 10}
TORCH = os.environ.get("DEEPRECT_BENCH_TORCH_PYTHON")
OURS = "deeprect_gluon"
OTHERS = ["fast=False", "MXNet", "ONNX Runtime", "PyTorch", "torch.compile"]
TURN = 0.5  # seconds


class Contender:
    """A process that runs one implementation; contenders/protocol.py is its other end."""

    def __init__(self, python: str, script: str, *args: str):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, str(CONTENDERS / script), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, **KEEP_MEMORY},
        )

    def ask(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with status {self.process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait()


def contenders(mode: str, chosen: list[str]) -> dict[str, tuple[str, ...]]:
    """Return (interpreter, script, arguments) of the chosen that can run a mode, ours first."""
    here = sys.executable
    result = {
        OURS: (here, "gluon.py", "fused"),
        "fast=False": (here, "gluon.py", "plain"),
    }
    if mode == "inference":
        result["MXNet"] = (here, "mxnet_builtin.py")
        result["ONNX Runtime"] = (here, "onnx_runtime.py")
    if TORCH:
        result["PyTorch"] = (TORCH, "pytorch.py", "eager")
        result["torch.compile"] = (TORCH, "pytorch.py", "compiled")
    return {name: command for name, command in result.items() if name in [OURS, *chosen]}


def require_equal(name: str, y: np.ndarray, ours: np.ndarray) -> None:
    error = np.abs(y - ours).max() / np.abs(ours).max()
    if not error < 1e-4:
        raise SystemExit(f"{name} differs from ours by {error:.1e}: there is nothing to compare")


def compare(config: Config, batch: int, mode: str, chosen: list[str], rounds: int) -> dict:
    """Return {contender: median seconds} and {contender: GiB} of a network."""
    shape = (batch, config.in_channels, config.input_size, config.input_size)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        np.save(f"{folder}/x.npy", np.random.default_rng(0).standard_normal(shape, np.float32))
        load = {"load": folder, "config": asdict(config), "mode": mode}
        with Contender(sys.executable, "gluon.py", "plain") as writer:
            writer.ask(**load, save=True)
        running, outputs = {}, {}
        for name, command in contenders(mode, chosen).items():
            running[name] = stack.enter_context(Contender(*command))
            running[name].ask(**load)
            outputs[name] = np.load(f"{folder}/y.npy")
            require_equal(name, outputs[name], outputs[OURS])
        for contender in running.values():
            contender.ask(run=2)  # the first passes allocate, and compile
        # A turn begins with the caches and threads that the one before left.
        passes = max(1, round(TURN / running[OURS].ask(run=1)["seconds"]))
        answers = {name: [] for name in running}
        for _ in range(rounds):
            for name, contender in running.items():
                answers[name].append(contender.ask(run=passes))
    return {
        "seconds": {
            n: statistics.median(a["seconds"] for a in all_) for n, all_ in answers.items()
        },
        "gib": {name: all_[-1]["gib"] for name, all_ in answers.items()},
    }


def table(rows: list[dict], mode: str) -> str:
    """Return Markdown: milliseconds and, in brackets, how many times ours; then memory."""
    names = list(rows[0]["seconds"])
    head = ["network", "batch", *(f"{n}, ms" for n in names), *(f"{n}, GiB" for n in names)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        seconds = row["seconds"]
        cells = [row["model"], str(row["batch"])]
        for name in names:
            if name not in seconds:
                cells.append("-")
                continue
            ratio = f" ({seconds[name] / seconds[OURS]:.2f}x)" if name != OURS else ""
            milliseconds = 1e3 * seconds[name]
            digits = 0 if milliseconds >= 100 else 1
            cells.append(f"{milliseconds:.{digits}f}{ratio}")
        cells += [f"{row['gib'][name]:.2f}" if name in seconds else "-" for name in names]
        lines.append(f"| {' | '.join(cells)} |")
    return f"\n{mode}\n\n" + "\n".join(lines)


def plot(rows: list[dict], path: Path) -> None:
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    figure = Figure(figsize=(11, 3.6 * len(modes)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, mode in zip(figure.subplots(len(modes), 1, squeeze=False)[:, 0], modes):
        chosen = [row for row in rows if row["mode"] == mode]
        names = [name for name in chosen[0]["seconds"] if name != OURS]
        for i, name in enumerate(names):
            heights = [row["seconds"].get(name, 0) / row["seconds"][OURS] for row in chosen]
            at = np.arange(len(chosen)) + (i - len(names) / 2 + 0.5) * 0.8 / len(names)
            axes.bar(at, heights, 0.8 / len(names), label=name)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set(ylabel="time / ours", title=mode)
        axes.set_xticks(range(len(chosen)))
        axes.set_xticklabels(
            [f"{row['model'].removeprefix('deeprect_')}\nbatch {row['batch']}" for row in chosen],
            fontsize=8,
        )
        axes.margins(y=0.2)
        axes.legend(fontsize="small", ncols=len(names), loc="upper center")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    networks = ["deeprect_small14", "deeprect_small30", "deeprect_a", "deeprect_b", "deeprect_c"]
    add("--models", nargs="+", default=networks, choices=model_names(), metavar="MODEL")
    add("--batches", nargs="+", type=int, default=[1, 2, 8])
    add("--modes", nargs="+", default=["inference", "training"], choices=["inference", "training"])
    add("--contenders", nargs="+", default=OTHERS, choices=OTHERS, metavar="NAME")
    add("--rounds", type=int, default=5)
    add("--output", type=Path, default=RESULTS, help="folder for the JSON and the plot")
    args = parser.parse_args()
    if not TORCH:
        print("DEEPRECT_BENCH_TORCH_PYTHON is not set: PyTorch is left out")
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    report = {"cores": len(os.sched_getaffinity(0)), "rounds": args.rounds, "rows": rows}
    for mode in args.modes:
        for name in args.models:
            config = Config(**{"name": name, **(SMALL if "small" in name else {})})
            for batch in args.batches:
                row = {"model": name, "mode": mode, "batch": batch}
                rows.append({**row, **compare(config, batch, mode, args.contenders, args.rounds)})
                # After each row: an interrupted run keeps what it has measured.
                write_text_atomically(
                    args.output / "nets_benchmark.json", json.dumps(report, indent=1) + "\n"
                )
                print(f"{mode}, {name}, batch {batch}: done", file=sys.stderr)
        print(table([row for row in rows if row["mode"] == mode], mode))
    plot(rows, args.output / "nets_benchmark.png")


if __name__ == "__main__":
    main()
