#!/usr/bin/env python
"""Time a network's forward pass here, in MXNet as it comes, and in PyTorch, in turns.

Each library runs in a process of its own with its default settings and the same architecture. The
processes live side by side and are asked for one pass at a time, one after the other, so that a
slow moment of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from deeprect_gluon.models import Config, get_model, model_names
from deeprect_gluon.operators import portable_operators

FOLDER = Path(__file__).parent / "forward"
SETTINGS = ("OMP_NUM_THREADS", "MXNET_EXEC_INPLACE_GRAD_SUM_CAP")


def start(python: str, script: str, specification: dict, folder: str) -> subprocess.Popen:
    # What this process's import of the library set is not a default of the others.
    environment = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    if python != sys.executable:
        del environment["PYTHONPATH"]
    path = Path(folder) / f"{script}.json"
    path.write_text(json.dumps(specification))
    return subprocess.Popen(
        [python, str(FOLDER / f"{script}.py"), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def answer(name: str, child: subprocess.Popen) -> dict:
    line = child.stdout.readline()
    if not line:
        sys.exit(f"model_forward.py: the {name} process ended with status {child.wait()}")
    return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="deeprect_c", choices=model_names())
    add("--batch", type=int, default=2)
    add("--input-size", type=int, default=224)
    add("--rounds", type=int, default=10)
    variable = "DEEPRECT_BENCH_TORCH_PYTHON"
    torch = os.environ.get(variable)
    add("--torch-python", default=torch, help=f"an interpreter with PyTorch (${variable})")
    args = parser.parse_args()

    config = Config(args.model, input_size=args.input_size)
    net = get_model(args.model, input_size=args.input_size)
    with portable_operators():
        import mxnet as mx

        symbol = net(mx.sym.var("data")).tojson()
    specification = {
        "config": net.config,
        "shape": [args.batch, 3, args.input_size, args.input_size],
        "layers": [[type(layer).__name__, *layer] for layer in config.layers],
        "map_size": config.map_size(),
        "symbol": symbol,
    }
    workers = {"deeprect_gluon": (sys.executable, "ours"), "MXNet": (sys.executable, "mxnet_plain")}
    if args.torch_python:
        workers["PyTorch"] = (args.torch_python, "pytorch")
    with tempfile.TemporaryDirectory() as folder:
        children = {
            name: start(python, script, specification, folder)
            for name, (python, script) in workers.items()
        }
        facts = {name: answer(name, child) for name, child in children.items()}
        times = {name: [] for name in children}
        for _ in range(args.rounds):
            for name, child in children.items():
                child.stdin.write("\n")
                child.stdin.flush()
                times[name].append(answer(name, child)["seconds"])
        for child in children.values():
            child.stdin.close()
            child.wait()

    print(f"{args.model}, forward of {args.batch} images of {args.input_size} pixels, seconds")
    print(f"{'':<16}{'version':<14}{'threads':>8}{'parameters':>14}{'min':>8}{'median':>8}")
    for name, seconds in times.items():
        fact = facts[name]
        print(
            f"{name:<16}{fact['version']:<14}{fact['threads']:>8}{fact['parameters']:>14,}"
            f"{min(seconds):>8.3f}{statistics.median(seconds):>8.3f}"
        )


if __name__ == "__main__":
    main()
