#!/usr/bin/env python
"""Make a small dataset in ImageNet's layout out of Fashion-MNIST and textures."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeprect_gluon.data import small_imagenet
from deeprect_gluon.errors import run_program


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--images", type=int, default=40, help="training images of each class")
    parser.add_argument("--val-images", type=int, default=10, help="of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tars", action="store_true", help="also as archives, as ILSVRC's are")
    args = parser.parse_args(argv)
    small_imagenet.write(args.output, args.classes, args.images, args.val_images, args.seed)
    if args.tars:
        small_imagenet.write_archives(args.output)


if __name__ == "__main__":
    run_program(main)
