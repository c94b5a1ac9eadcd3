#!/usr/bin/env python
"""Train a net of the paper on Fashion-MNIST, alone or under horovodrun."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deeprect_gluon import library, models
from deeprect_gluon.train import TrainConfig, Workers, fashion_mnist


def parse() -> argparse.Namespace:
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
    add("--epochs", type=int, default=20)
    add("--batch-size", type=int, default=128, help="over all workers")
    add("--lr", type=float, default=0.01)
    add("--lr-drops", type=int, nargs="*", default=[14, 18], help="epochs that divide it by 10")
    add("--weight-decay", type=float, default=5e-4)
    add("--max-steps", type=int, default=0, help="stop after so many steps (0: no limit)")
    add("--augment", action="store_true", help="shift and mirror the training images")
    add("--seed", type=int, default=0)
    add("--output", type=Path, help="folder of the run (default: runs/MODEL-ACTIVATION)")
    return parser.parse_args()


def main() -> None:
    args = parse()
    library.keep_memory()
    workers = Workers()
    net = fashion_mnist.build(
        args.model,
        activation=args.activation,
        width=args.width,
        hidden=tuple(args.hidden),
        dropout=args.dropout,
    )
    fashion_mnist.initialize(net, args.init, args.fan, args.seed)
    config = TrainConfig(
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        lr_drops=tuple(args.lr_drops),
        weight_decay=args.weight_decay,
        seed=args.seed,
        max_steps=args.max_steps,
    )
    folder = args.output or Path("runs") / f"{args.model}-{args.activation}"
    description = {"init": args.init, "fan": args.fan}
    history = fashion_mnist.train(net, config, folder, workers, args.augment, **description)
    if workers.is_first:
        last = history.rows[-1]
        print(f"test error {last.val_error:.2%}, loss {last.val_loss:.4f}: {folder}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
