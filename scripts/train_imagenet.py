#!/usr/bin/env python
"""Train a net of the paper on ImageNet, alone or under horovodrun.

python scripts/train_imagenet.py --data SHARDS
horovodrun -np 4 python scripts/train_imagenet.py --model deeprect_c --data SHARDS
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from deeprect_gluon import native
from deeprect_gluon.errors import run_program
from deeprect_gluon.initializer import initialize
from deeprect_gluon.models import model_names
from deeprect_gluon.train import TrainConfig, Workers, estimate, imagenet, report, train
from deeprect_gluon.train.config import add_flags, read_recipe, with_flags

CONFIGS = Path(__file__).parents[1] / "configs" / "imagenet"
MODEL = ("name", "activation", "width", "hidden", "dropout", "input_size", "pyramid")
DATA = ("folder", "sides", "colour", "threads")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config", type=Path, default=CONFIGS / "large.yaml", help="recipe (YAML)")
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
    add("--model", dest="name", choices=model_names(), **given)
    add("--activation", choices=("prelu", "prelu_shared", "relu"), **given)
    add("--input-size", type=int, metavar="PIXELS", **given)
    add("--width", type=float, help="factor on the convolutions' channels", **given)
    add("--hidden", type=int, nargs="+", help="units of the hidden layers", **given)
    add("--pyramid", type=int, nargs="+", help="levels of the pyramid pooling", **given)
    add("--dropout", type=float, **given)

    add_flags(parser.add_argument_group("training, instead of the recipe's"), TrainConfig())
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    native.keep_memory()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    workers = Workers()
    flags = vars(args)
    read = read_recipe(args.config)
    recipe = read.override(
        model={name: flags[name] for name in MODEL if name in flags},
        data={name: flags[name] for name in DATA if name in flags},
        train=with_flags(read.train, args),
    )
    task = imagenet.task(recipe, workers)
    config = task.net.config
    folder = args.output or Path("runs") / f"{config['name']}-{config['activation']}-imagenet"
    if args.dry_run:
        if workers.is_first:
            print(imagenet.describe(task))
            print(estimate.plan(task.net, recipe.train, len(task.batches), workers.size))
        return
    initialize(task.net, **recipe.init, seed=recipe.train.seed, ctx=workers.context)
    history = train(task, recipe.train, folder, workers, args.resume == "auto")
    if workers.is_first:
        print(f"{report.results(history.rows)}\n{folder}")


if __name__ == "__main__":
    run_program(main)
