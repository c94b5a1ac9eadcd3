#!/usr/bin/env python
"""Train a net of the paper on Fashion-MNIST, alone or under horovodrun."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from deeprect_gluon import models, native
from deeprect_gluon.errors import run_program
from deeprect_gluon.initializer import initialize
from deeprect_gluon.train import Recipe, TrainConfig, Workers, fashion_mnist, report, train
from deeprect_gluon.train.config import add_flags, with_flags

DEFAULTS = TrainConfig(epochs=20, lr_drops=(14, 18))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="deeprect_small14", choices=models.model_names())
    add("--activation", default="prelu", choices=("prelu", "prelu_shared", "relu"))
    add("--width", type=float, default=0.5, help="factor on the convolutions' channels")
    add("--hidden", type=int, nargs="+", default=[512, 512], help="units of the hidden layers")
    add("--dropout", type=float, default=0.5)
    add("--init", default="msra", choices=("msra", "xavier"))
    add("--fan", default="in", choices=("in", "out"))
    add("--augment", action="store_true", help="shift and mirror the training images")
    add("--output", type=Path, help="folder of the run (default: runs/MODEL-ACTIVATION)")
    add("--resume", default="never", choices=("auto", "never"), help="auto: from the checkpoint")
    add_flags(parser, DEFAULTS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    native.keep_memory()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    workers = Workers()
    recipe = Recipe(
        model={
            "name": args.model,
            "activation": args.activation,
            "width": args.width,
            "hidden": tuple(args.hidden),
            "dropout": args.dropout,
        },
        init={"rule": args.init, "fan": args.fan},
        data={"augment": args.augment},
        train=with_flags(DEFAULTS, args),
    )
    task = fashion_mnist.task(recipe, workers)
    initialize(task.net, **recipe.init, seed=recipe.train.seed, ctx=workers.context)
    folder = args.output or Path("runs") / f"{args.model}-{args.activation}"
    history = train(task, recipe.train, folder, workers, args.resume == "auto")
    if workers.is_first:
        last = history.rows[-1]
        print(report.results(history.rows))
        print(f"test error {last.val_error:.2%}, loss {last.val_loss:.4f}: {folder}")


if __name__ == "__main__":
    run_program(main)
