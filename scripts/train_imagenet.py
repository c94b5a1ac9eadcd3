#!/usr/bin/env python
"""Train a net of the paper on ImageNet, alone or under horovodrun.

python scripts/train_imagenet.py --data SHARDS
horovodrun -np 4 python scripts/train_imagenet.py --config configs/imagenet/deeprect_c.yaml ...
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from deeprect_gluon import native
from deeprect_gluon.program import run_program
from deeprect_gluon.train import TrainConfig, Workers, estimate, report
from deeprect_gluon.train.config import add_flags, with_flags
from deeprect_gluon.train.config import read as read_recipe
from deeprect_gluon.train.imagenet import Training

CONFIGS = Path(__file__).parents[1] / "configs" / "imagenet"
MODEL = ("activation", "width", "hidden", "dropout", "input_size", "pyramid")
DATA = ("folder", "sides", "colour", "threads")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config", type=Path, default=CONFIGS / "deeprect_a.yaml", help="recipe (YAML)")
    add("--output", type=Path, help="folder of the run (default: runs/MODEL-ACTIVATION-imagenet)")
    add("--resume", choices=("auto", "never"), default="never", help="auto: from the checkpoint")
    add("--dry-run", action="store_true", help="check data and memory, show the schedule, end")

    given = {"default": argparse.SUPPRESS}
    group = parser.add_argument_group("data, instead of the recipe's")
    add = group.add_argument
    add("--data", dest="folder", type=Path, help="shards ($DEEPRECT_DATA/imagenet)", **given)
    add("--sides", type=int, nargs=2, metavar="PIXELS", help="range of the shorter side", **given)
    add("--colour", type=float, help="strength of the shift of colours", **given)
    add("--threads", type=int, help="that decode and augment", **given)

    group = parser.add_argument_group("net, instead of the recipe's")
    add = group.add_argument
    add("--activation", choices=("prelu", "prelu_shared", "relu"), **given)
    add("--input-size", type=int, metavar="PIXELS", **given)
    add("--width", type=float, help="factor on the convolutions' channels", **given)
    add("--hidden", type=int, nargs="+", help="units of the hidden layers", **given)
    add("--pyramid", type=int, nargs="+", help="levels of the pyramid pooling", **given)
    add("--dropout", type=float, **given)

    add_flags(parser.add_argument_group("training, instead of the recipe's"), TrainConfig())
    return parser.parse_args()


def main() -> None:
    args = parse()
    native.keep_memory()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    workers = Workers()
    flags = vars(args)
    read = read_recipe(args.config)
    chosen = read.override(
        model={name: flags[name] for name in MODEL if name in flags},
        data={name: flags[name] for name in DATA if name in flags},
        train=with_flags(read.train, args),
    )
    training = Training(chosen, workers)
    config = training.net.config
    folder = args.output or Path("runs") / f"{config['name']}-{config['activation']}-imagenet"
    if args.dry_run:
        if workers.is_first:
            print(training.describe())
            print(estimate.plan(training.net, chosen.train, len(training.train), workers.size))
        return
    history = training.run(folder, args.resume == "auto")
    if workers.is_first:
        print(f"{report.results(history.rows)}\n{folder}")


if __name__ == "__main__":
    run_program(main)
