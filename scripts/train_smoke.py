#!/usr/bin/env python
"""Try ImageNet's training in three minutes, on a small set of images in ImageNet's layout.

Makes the images and packs them, trains a narrow model A on two ranks, trains it again and kills
that in the middle, continues, compares the two, and publishes what came out.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

SCRIPTS = Path(__file__).parent
RANKS = 2
STEPS = 25
# The model's trunk as published, an eighth as wide, on images of 64 pixels.
NARROW = "--input-size 64 --pyramid 2 1 --width 0.125 --hidden 64 --sides 64 128"
SHORT = "--batch-size 32 --lr 0.005 --epochs 5 --report-every 5 --checkpoint-every 3"


def command(script: str, *arguments: str | Path, ranks: int = 1) -> list[str]:
    words = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    if ranks == 1:
        return words
    horovodrun = str(Path(sys.executable).with_name("horovodrun"))
    hosts = ("-np", str(ranks), "--gloo", "-H", f"localhost:{ranks}")
    return [sys.executable, horovodrun, *hosts, *words]


def run(words: list[str]) -> str:
    """Run a command and return what it prints; RuntimeError with its last words if it fails."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def kill_after_checkpoint(words: list[str], checkpoints: Path, count: int) -> None:
    """Start a training and kill all its processes when its `count`-th checkpoint is there."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: set[str] = set()
    while len(seen) < count:
        if process.poll() is not None:
            raise RuntimeError("the training ended before it could be killed")
        seen |= {path.name for path in checkpoints.glob("step-*")}
        time.sleep(0.01)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.wait()


def history(run: Path) -> list[dict]:
    """Return the rows of a history, less what a clock measured."""
    with (run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["images_per_second"]
    return rows


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images, shards, store = folder / "images", folder / "shards", folder / "store"
        undisturbed, killed = folder / "undisturbed", folder / "killed"

        def train(output: Path) -> list[str]:
            flags = ("--data", shards, "--output", output, "--resume", "auto")
            return command(
                "train_imagenet.py", *flags, *NARROW.split(), *SHORT.split(), ranks=RANKS
            )

        print("making and packing images")
        size = ("--classes", "4", "--images", "40", "--val-images", "15")
        run(command("make_small_imagenet.py", "--output", images, *size))
        splits = ("--train", images / "train", "--val", images / "val")
        print(run(command("prepare_imagenet.py", "--output", shards, *splits)).splitlines()[-1])

        print(f"training on {RANKS} ranks, undisturbed")
        run(train(undisturbed))
        print("training again, killed after the fourth checkpoint")
        kill_after_checkpoint(train(killed), killed / "checkpoints", 4)
        left = max(int(path.name.split("-")[1]) for path in killed.glob("checkpoints/step-*"))
        print(f"continuing after step {left} of {STEPS}")
        said = run(train(killed)).splitlines()
        table = next(i for i, line in enumerate(said) if "epoch  step" in line)
        print("\n".join(line.partition(">:")[2] or line for line in said[table : table + 7]))

        weights = [(each / "weights.params").read_bytes() for each in (undisturbed, killed)]
        if weights[0] != weights[1] or history(undisturbed) != history(killed):
            raise RuntimeError("the continued training differs from the undisturbed one")
        print("the weights and the histories of both are the same, bit for bit")
        publish = [sys.executable, "-m", "zoo", "publish", str(killed), "--to", str(store)]
        print(run(publish).splitlines()[-1])


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
