"""Train a tiny net with dropout and checkpoints, and do something to it at a step.

    train_tiny.py FOLDER [ACTION@STEP] [--rank R] [--lr LR]

The action comes when the data of the step are asked for, on rank R or, by default, on all ranks:
kill (SIGKILL), cut (the next write beyond 4 kB ends the process, so that it dies inside a
checkpoint), full (the next write beyond 4 kB fails), term (SIGTERM), nan (the images are NaN).
"""

import argparse
import logging
import os
import resource
import signal
import sys

import numpy as np

import deeprect_gluon as dg
from deeprect_gluon.data import Batches, shift_and_flip
from deeprect_gluon.train import Stopped, TrainConfig, Workers, session

SMALL_FILES = 4096


class Watched(Batches):
    """Batches that do the action when they reach its step."""

    def __init__(self, *args, action="", step=-1, **more):
        super().__init__(*args, **more)
        self.action, self.step = action, step

    def epoch(self, epoch=0, start=0):
        steps = range(epoch * len(self) + start, (epoch + 1) * len(self))
        for step, (images, labels) in zip(steps, super().epoch(epoch, start)):
            if step == self.step:
                self.act()
                if self.action == "nan":
                    images[:] = np.nan
            yield images, labels

    def act(self):
        if self.action in ("kill", "term"):
            os.kill(os.getpid(), signal.SIGKILL if self.action == "kill" else signal.SIGTERM)
        if self.action in ("cut", "full"):
            if self.action == "cut":
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILES, resource.RLIM_INFINITY))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("action", nargs="?", default="@-1")
    parser.add_argument("--rank", type=int)
    parser.add_argument("--lr", type=float, default=0.02)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    workers = Workers()
    action, step = args.action.split("@")
    part = {"rank": workers.rank, "size": workers.size}
    mine = args.rank in (None, workers.rank)
    watched = {"action": action, "step": int(step)} if mine else {}
    rng = np.random.default_rng(0)
    images = rng.normal(size=(60, 1, 28, 28)).astype(np.float32)
    labels = (images[:, 0, :14].sum((1, 2)) > 0).astype(np.int32)
    small = {"stem": "small_image", "in_channels": 1, "input_size": 28, "pyramid": (2, 1)}
    net = dg.models.get_model("deeprect_small14", **small, classes=2, width=0.05, hidden=(16,))
    session.initialize(net, "msra", "in", 1)
    config = TrainConfig(
        epochs=3,
        batch_size=12,
        lr=args.lr,
        warmup_epochs=0.6,
        plateau=1,
        plateau_gain=0.2,
        report_every=3,
        checkpoint_every=2,
        seed=4,
    )
    data = Watched(
        images, labels, 12, shuffle=True, augment=shift_and_flip, seed=4, **part, **watched
    )
    validation = Batches(images[:50], labels[:50], 16, **part)
    session.train(net, data, validation, config, args.folder, workers, title="tiny", resume=True)


if __name__ == "__main__":
    try:
        main()
    except Stopped as stopped:
        print(stopped)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"train_tiny: {error}")
