"""The input of training: our pipeline beside torchvision's DataLoader, the same augmentation.

    DEEPRECT_BENCH_TORCH_PYTHON=/path/to/python python benchmarks/input_pipeline.py
        [--images 2560] [--rounds 5] [--batch 128] [--workers 2] [--folder FOLDER]

torchvision is left out unless the environment names an interpreter that has it. Both read the same
JPEGs (of scripts/make_small_imagenet.py, made in FOLDER unless they are there), ours from RecordIO
shards and torchvision from the class folders, with as many threads or processes; both resize the
shorter side to 256 to 512 pixels, crop 224, mirror, shift the colours and normalise. Rounds of an
epoch each are interleaved, and their batches are thrown away. Prints a Markdown table: medians of
images per second and of CPU time per image, over a process and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

TORCH = Path(__file__).with_name("torch_input_pipeline.py")


def serve() -> None:
    """Answer requests, one JSON line each; torch_input_pipeline.py speaks the same protocol."""
    from deeprect_gluon import native
    from deeprect_gluon.data.imagenet import ImageRecords

    native.keep_memory()
    for epoch, line in enumerate(sys.stdin):
        request = json.loads(line)
        if epoch == 0:
            batches = ImageRecords(
                Path(request["folder"]) / "records",
                "train",
                request["batch"],
                train=True,
                threads=request["workers"],
            )
        start, images, moments = time.perf_counter(), 0, []
        for x, _ in batches.epoch(epoch):
            images += len(x)
            if request["look"]:
                x = x.asnumpy()
                moments.append([x.mean(axis=(0, 2, 3)), x.std(axis=(0, 2, 3))])
        seconds = time.perf_counter() - start
        moments = np.mean(moments, axis=0).tolist() if moments else None
        print(json.dumps({"seconds": seconds, "images": images, "moments": moments}), flush=True)


class Contender:
    """A process that runs one pipeline."""

    def __init__(self, command: list[str], request: dict):
        self.request = request
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def cpu_seconds(self) -> float:
        parent = psutil.Process(self.process.pid)
        times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
        return sum(t.user + t.system for t in times)

    def epoch(self, look: bool = False) -> dict:
        """Run an epoch; `look` takes the moments of the batches, which costs time."""
        before = self.cpu_seconds()
        self.process.stdin.write(json.dumps({**self.request, "look": look}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with status {self.process.wait()}")
        answer = json.loads(line)
        return {**answer, "cpu": (self.cpu_seconds() - before) / answer["images"]}

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def make_images(folder: Path, images: int) -> None:
    """Make the class folders and the shards, unless they are there."""
    scripts = Path(__file__).parents[1] / "scripts"
    if not (folder / "train").exists():
        made = ["--output", folder, "--images", str(images // 10), "--val-images", "0"]
        subprocess.run([sys.executable, scripts / "make_small_imagenet.py", *made], check=True)
    packed = ["--output", folder / "records", "--train", folder / "train"]
    subprocess.run([sys.executable, scripts / "prepare_imagenet.py", *packed], check=True)


def compare(folder: Path, batch: int, workers: int, rounds: int) -> None:
    commands = {"ours": [sys.executable, __file__, "--serve"]}
    torch = os.environ.get("DEEPRECT_BENCH_TORCH_PYTHON")
    if torch:
        commands["torchvision"] = [torch, str(TORCH)]
    request = {"folder": str(folder), "batch": batch, "workers": workers}
    contenders = {key: Contender(command, request) for key, command in commands.items()}
    # The first epoch warms up, and shows that the images are alike: mean and deviation by channel.
    first = {key: contender.epoch(look=True) for key, contender in contenders.items()}
    for key, answer in first.items():
        difference = np.abs(np.subtract(answer["moments"], first["ours"]["moments"])).max()
        if difference > 0.1:
            raise RuntimeError(f"{key}'s images differ from ours by {difference:.2f}")
    answers = {key: [] for key in contenders}
    for _ in range(rounds):
        for key, contender in contenders.items():
            answers[key].append(contender.epoch())
    for contender in contenders.values():
        contender.close()

    def median(key: str, value) -> float:
        return statistics.median(map(value, answers[key]))

    print("| pipeline | images/s | ours / it | CPU per image, ms | it / ours |\n|" + "---|" * 5)
    speed = {key: median(key, lambda a: a["images"] / a["seconds"]) for key in answers}
    cpu = {key: 1e3 * median(key, lambda a: a["cpu"]) for key in answers}
    for key in answers:
        ratios = speed["ours"] / speed[key], cpu[key] / cpu["ours"]
        print(f"| {key} | {speed[key]:.0f} | {ratios[0]:.2f} | {cpu[key]:.2f} | {ratios[1]:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="kept (default: a temporary one)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        make_images(folder, args.images)
        compare(folder, args.batch, args.workers, args.rounds)


if __name__ == "__main__":
    main()
