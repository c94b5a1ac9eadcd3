"""Times PReLU on the CPU against MXNet's operators, PyTorch's, and a plain copy.

Every implementation's output and gradients are compared with ours before anything is timed. Samples
of all of them alternate, and medians are reported. PyTorch runs in an interpreter of its own, named
by $DEEPRECT_BENCH_TORCH_PYTHON; without it that column stays empty. Writes prelu_benchmark.json and
prelu_benchmark.png into runs/bench, and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Callable

import numpy as np
from tqdm import tqdm

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

RESULTS = Path("runs/bench")
PASSES = {"forward": "forward", "both": "forward + backward"}
COLUMNS = {
    "floor": "streaming floor",
    "ours": "ours",
    "mxnet": "MXNet LeakyReLU(prelu)",
    "mxnet_relu": "MXNet relu",
    "pytorch": "PyTorch",
}
SHAPES = {
    "C conv1": (8, 96, 112, 112),
    "A conv 56²": (8, 256, 56, 56),
    "C conv 56²": (8, 384, 56, 56),
    "A conv 28²": (8, 512, 28, 28),
    "C conv 28²": (8, 768, 28, 28),
    "C conv 14²": (8, 896, 14, 14),
    "small conv1": (128, 32, 28, 28),
    "small 14²": (128, 64, 14, 14),
    "small 7²": (128, 128, 7, 7),
    "fc, batch 128": (128, 4096),
    "fc, batch 8": (8, 4096),
    "one image, 7²": (1, 128, 7, 7),
    "tiny": (2, 10),
}

# What deeprect_gluon.native.keep_memory tells the C library, for PyTorch's process too.
KEEP_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_ARENA_MAX": "1",
}


class Operator:
    """One of MXNet's operators, y = op(x[, alpha]), and its gradients."""

    def __init__(self, build, x, alpha, dy):
        symbol = build(mx.sym.Variable("x"), mx.sym.Variable("alpha"))
        inputs = {"x": x.copy(), "alpha": alpha.copy()}
        self.inputs = {name: inputs[name] for name in symbol.list_arguments()}
        for value in self.inputs.values():
            value.attach_grad()
        self.graph = mx.nd.CachedOp(symbol)
        self.dy = dy

    def __call__(self, which: str) -> mx.nd.NDArray:
        if which == "forward":
            return self.graph(*self.inputs.values())
        with mx.autograd.record():
            y = self.graph(*self.inputs.values())
        y.backward(self.dy)
        return y

    def results(self) -> dict[str, np.ndarray]:
        y = self("both")
        grads = {f"d{name}": value.grad.asnumpy() for name, value in self.inputs.items()}
        return {"y": y.asnumpy(), **grads}


def time_mxnet(run: Operator, which: str, calls: int) -> float:
    run(which)
    mx.nd.waitall()
    start = time.perf_counter()
    for _ in range(calls):
        run(which)
    mx.nd.waitall()
    return (time.perf_counter() - start) / calls


# Copying reads one array and writes one; so does forward. Forward and backward together read x,
# write y, read x and dy, and write dx.
COPIES = {"forward": 1.0, "both": 2.5}


class Floor:
    """The time in which the bytes of each pass move, at the speed of a copy between two arrays."""

    def __init__(self, size: int, threads: int):
        self.source, self.target = np.ones((2, size), "float32")
        self.threads = threads if size > 1 << 16 else 1
        self.pool = ThreadPoolExecutor(self.threads)

    def copy(self) -> None:
        if self.threads == 1:
            np.copyto(self.target, self.source)
            return
        parts = zip(*(np.array_split(a, self.threads) for a in (self.target, self.source)))
        list(self.pool.map(lambda part: np.copyto(*part), parts))

    def time(self, which: str, calls: int) -> float:
        self.copy()
        start = time.perf_counter()
        for _ in range(calls):
            self.copy()
        return COPIES[which] * (time.perf_counter() - start) / calls


class Torch:
    """PyTorch in its own interpreter; see torch_prelu.py for the requests."""

    def __init__(self, python: str):
        program = Path(__file__).with_name("torch_prelu.py")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **request) -> str:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the interpreter $DEEPRECT_BENCH_TORCH_PYTHON ended: see its message")
        return answer.strip()

    def results(self, arrays: dict[str, np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
        """Return PyTorch's version, and what it computes from x, alpha and dy."""
        with tempfile.TemporaryDirectory() as folder:
            for name, value in arrays.items():
                np.save(f"{folder}/{name}.npy", value)
            version = self.ask(load=folder)
            return version, {n: np.load(f"{folder}/{n}.npy") for n in ("y", "dx", "dalpha")}

    def time(self, which: str, calls: int) -> float:
        return float(self.ask(time=which, calls=calls))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def require_equal(name: str, got: dict, want: dict) -> None:
    for key, value in got.items():
        scale = np.abs(want[key]).max()
        if not np.allclose(value, want[key], rtol=1e-5, atol=1e-5 * scale):
            raise SystemExit(f"{name} computes another {key} than ours; nothing was timed")


def timers(shape: tuple[int, ...], threads: int, torch: Torch | None) -> dict[str, Callable]:
    """Return for each implementation a function (pass, calls) -> seconds for a call."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape)).astype("float32")
    alpha = rng.uniform(0, 0.5, shape[1]).astype("float32")
    arrays = [mx.nd.array(v) for v in (x, alpha, dy)]
    ours = Operator(mx.sym.deeprect_prelu, *arrays)
    built_in = Operator(partial(mx.sym.LeakyReLU, act_type="prelu"), *arrays)
    relu = Operator(lambda x, _: mx.sym.relu(x), *arrays)
    want = ours.results()
    require_equal("MXNet's LeakyReLU", built_in.results(), want)
    require_equal("MXNet's relu", relu.results(), {"y": np.maximum(x, 0), "dx": dy * (x > 0)})
    runners = {"ours": ours, "mxnet": built_in, "mxnet_relu": relu}
    result = {"floor": Floor(x.size, threads).time}
    for name, run in runners.items():
        result[name] = lambda which, calls, run=run: time_mxnet(run, which, calls)
    if torch:
        require_equal("PyTorch", torch.results({"x": x, "alpha": alpha, "dy": dy})[1], want)
        result["pytorch"] = torch.time
    return result


def measure(shape, threads: int, torch: Torch | None, repetitions: int) -> dict[str, dict]:
    """Return {pass: {implementation: median seconds}}."""
    functions = timers(shape, threads, torch)
    rows = {}
    for which in PASSES:
        # Enough calls for two milliseconds of our operator, which timers resolve well.
        calls = max(1, min(1000, int(2e-3 / functions["ours"](which, 3))))
        samples = {name: [] for name in functions}
        for _ in range(repetitions):
            for name, function in functions.items():
                samples[name].append(function(which, calls))
        rows[which] = {name: statistics.median(values) for name, values in samples.items()}
    return rows


def dimensions(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def table(rows: list[dict]) -> str:
    """Return Markdown: milliseconds, and how many times ours the others take."""
    head = ["shape", "pass", *COLUMNS.values(), "ours / floor", "MXNet / ours", "PyTorch / ours"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        times = row["seconds"]

        def ratio(a, b, times=times):
            return f"{times[a] / times[b]:.2f}" if a in times and b in times else ""

        cells = [dimensions(row["shape"]), PASSES[row["pass"]]]
        cells += [f"{1e3 * times[name]:.3g}" if name in times else "" for name in COLUMNS]
        cells += [ratio("ours", "floor"), ratio("mxnet", "ours"), ratio("pytorch", "ours")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 1, figsize=(11, 8), sharex=True, layout="constrained")
    for ax, which in zip(axes, PASSES):
        chosen = [row for row in rows if row["pass"] == which]
        names = [name for name in COLUMNS if name != "floor"]
        for i, name in enumerate(names):
            heights = [r["seconds"].get(name, np.nan) / r["seconds"]["floor"] for r in chosen]
            at = np.arange(len(chosen)) + (i - len(names) / 2 + 0.5) * 0.8 / len(names)
            ax.bar(at, heights, 0.8 / len(names), label=COLUMNS[name])
        ax.axhline(1, color="black", linewidth=0.8)
        ax.set_yscale("log")
        ax.set_ylabel("time / streaming floor")
        ax.set_title(PASSES[which])
        ax.set_xticks(range(len(chosen)))
        ax.set_xticklabels([f"{r['name']}\n{dimensions(r['shape'])}" for r in chosen], rotation=60)
    axes[0].legend(ncol=3, fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=15, help="samples of each (default 15)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="folder for the JSON and the plot"
    )
    parser.add_argument(
        "--fresh-memory",
        action="store_true",
        help="leave the C library as it is: large outputs are then mapped afresh at every call",
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.fresh_memory:
        os.environ.update(KEEP_MEMORY)
        dg.native.keep_memory()

    python = os.environ.get("DEEPRECT_BENCH_TORCH_PYTHON")
    torch = Torch(python) if python else None
    if torch is None:
        print("DEEPRECT_BENCH_TORCH_PYTHON is not set: PyTorch is left out")
    threads = dg.native.threads()
    rows = []
    for name, shape in tqdm(SHAPES.items(), unit="shape"):
        for which, seconds in measure(shape, threads, torch, options.repetitions).items():
            rows.append({"name": name, "shape": shape, "pass": which, "seconds": seconds})
    if torch:
        torch.close()
    report = {
        "threads": threads,
        "isa": dg.native.isa(),
        "mxnet": mx.__version__,
        "fresh_memory": options.fresh_memory,
        "repetitions": options.repetitions,
        "rows": rows,
    }
    (options.output / "prelu_benchmark.json").write_text(json.dumps(report, indent=1) + "\n")
    plot(rows, options.output / "prelu_benchmark.png")
    print(table(rows))


if __name__ == "__main__":
    main()
