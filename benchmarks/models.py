"""Inference of public nets: accelerated, MXNet, MXNet's own pass for oneDNN, and ONNX Runtime.

    python benchmarks/models.py [--nets arcface_resnet50 …] [--batches 1 8] [--rounds 7] [--busy]

Every contender is a process of its own (contenders/public.py) with the same weights and images.
Outputs are compared before anything is timed; then the contenders take turns, so that a slow moment
of the machine meets all of them. With --busy another process keeps a core busy meanwhile. Prints a
Markdown table of medians in milliseconds and, in brackets, how many times ours, and writes
models_benchmark.json into runs/bench. A contender that ends with an error "fails".
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
from pathlib import Path

import numpy as np
from nets import TURN, Contender, require_equal
from prelu import RESULTS

from deeprect_gluon.files import write_text_atomically

sys.path.insert(0, str(Path(__file__).with_name("contenders")))
from public_nets import NETS

WAYS = ["ours", "MXNet", "MKLDNN", "ONNX Runtime"]


def compare(net: str, batch: int, rounds: int) -> dict[str, float]:
    """Return the median seconds of a pass by contender."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        running, outputs = {}, {}
        for way in WAYS:
            contender = stack.enter_context(Contender(sys.executable, "public.py", way))
            try:
                contender.ask(load=folder, net=net, batch=batch)
                outputs[way] = np.load(f"{folder}/y.npy")
                contender.ask(run=3)  # the first passes allocate
            except SystemExit as error:
                print(f"{way} fails with {net}: {error}", file=sys.stderr)
                continue
            require_equal(way, outputs[way], outputs["ours"])
            running[way] = contender
        passes = max(1, round(TURN / running["ours"].ask(run=3)["seconds"]))
        seconds: dict[str, list[float]] = {way: [] for way in running}
        for _ in range(rounds):
            for way, contender in running.items():
                seconds[way].append(contender.ask(run=passes)["seconds"])
    return {way: statistics.median(all_) for way, all_ in seconds.items()}


def row(name: str, batch: int, seconds: dict[str, float]) -> str:
    """Return a row of the table."""
    cells = [f"{1e3 * seconds['ours']:.1f}"]
    for way in WAYS[1:]:
        ratio = f"{seconds[way] / seconds['ours']:.2f}x" if way in seconds else ""
        cells.append(f"{1e3 * seconds[way]:.1f} ({ratio})" if ratio else "fails")
    return f"| {name} | {batch} | {' | '.join(cells)} |"


@contextlib.contextmanager
def busy_core(wanted: bool):
    """Keep a core busy in another process meanwhile."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--nets", nargs="+", default=list(NETS), choices=NETS, metavar="NET")
    add("--batches", nargs="+", type=int, default=[1, 8])
    add("--rounds", type=int, default=7)
    add("--busy", action="store_true", help="keep a core busy by another process")
    add("--output", type=Path, default=RESULTS, help="folder for the JSON")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    print(f"| net | images | {', ms | '.join(WAYS)}, ms |\n|{'---|' * (2 + len(WAYS))}")
    with busy_core(args.busy):
        for net in args.nets:
            for batch in args.batches:
                seconds = compare(net, batch, args.rounds)
                rows.append({"net": net, "batch": batch, "seconds": seconds})
                print(row(net, batch, seconds), flush=True)
    report = {"cores": len(os.sched_getaffinity(0)), "busy": args.busy, "rows": rows}
    write_text_atomically(args.output / "models_benchmark.json", json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
