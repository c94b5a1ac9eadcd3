"""Two ranks with one thread each beside one process with two threads, at the same batch.

    python benchmarks/horovod_scaling.py [--model deeprect_a] [--batch 64] [--rounds 3]

Each contender trains on its own, with nothing in between but a signal from here when its turn
comes, so that rounds are interleaved. Images are random and in memory: what is measured is the
step, not the input. By default a rank has 32 images, as each of the paper's four GPUs had (16 GB of
memory in all). Prints a Markdown table: medians of the seconds of a step, and the speed of the
ranks as a part of the single process's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def serve(args: argparse.Namespace) -> None:
    """Do a turn whenever a file with its number appears, and write the seconds of a step."""
    import mxnet as mx

    from deeprect_gluon import models, native
    from deeprect_gluon.initializer import initialize
    from deeprect_gluon.train import TrainConfig, Workers
    from deeprect_gluon.train.learner import Learner

    native.keep_memory()
    workers = Workers()
    net = models.get_model(args.model, classes=10, width=args.width, hidden=(args.hidden,) * 2)
    initialize(net, "msra", "out", 0)
    net.hybridize(static_alloc=True, static_shape=True)
    learner = Learner(net, TrainConfig(batch_size=args.batch, lr=1e-6), workers, 1000)
    size, mine = net.config["input_size"], args.batch // workers.size
    images, labels = mx.nd.random.normal(shape=(mine, 3, size, size)), mx.nd.zeros((mine,))
    for turn in range(args.rounds + 1):
        while not (args.serve / f"go-{turn}").exists():
            if not args.serve.exists():  # another contender failed
                raise SystemExit(f"{args.serve} is gone: nobody will give the signal for a turn")
            time.sleep(0.001)
        begun = time.perf_counter()
        learner.learn(images, labels)
        mx.nd.waitall()
        if workers.is_first:
            answer = args.serve / f"took-{turn}"
            answer.with_suffix(".part").write_text(str(time.perf_counter() - begun))
            answer.with_suffix(".part").rename(answer)


def start(ranks: int, threads: int, folder: Path) -> subprocess.Popen:
    words = [sys.executable, *sys.argv, "--serve", str(folder)]
    if ranks > 1:
        horovodrun = str(Path(sys.executable).with_name("horovodrun"))
        hosts = ["-np", str(ranks), "--gloo", "-H", f"localhost:{ranks}"]
        words = [sys.executable, horovodrun, *hosts, *words]
    return subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


def take_turn(folder: Path, turn: int, process: subprocess.Popen) -> float:
    (folder / f"go-{turn}").touch()
    answer = folder / f"took-{turn}"
    while not answer.exists():
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with status {process.returncode}")
        time.sleep(0.001)
    return float(answer.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deeprect_a")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=64, help="images in a step, over all ranks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args)
        return
    times: dict[tuple, list[float]] = {(1, 2): [], (2, 1): []}
    with tempfile.TemporaryDirectory() as name:
        folders = {key: Path(name) / f"{key[0]}" for key in times}
        processes = {}
        for key, folder in folders.items():
            folder.mkdir()
            processes[key] = start(*key, folder)
        for turn in range(args.rounds + 1):
            for key, folder in folders.items():
                seconds = take_turn(folder, turn, processes[key])
                if turn:  # the first one builds the graph
                    times[key].append(seconds)
        for process in processes.values():
            process.wait()
    one, two = (statistics.median(t) for t in times.values())
    print("| net | batch | 1 rank x 2 threads, s | 2 ranks x 1 thread, s | scaling |")
    print("|---|---|---|---|---|")
    print(f"| {args.model} | {args.batch} | {one:.3f} | {two:.3f} | {one / two:.2f} |")


if __name__ == "__main__":
    main()
