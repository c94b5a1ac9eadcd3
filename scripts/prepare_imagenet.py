#!/usr/bin/env python
"""Pack ImageNet's archives or folders into the RecordIO shards that training reads.

  python scripts/prepare_imagenet.py --output records --shorter-side 512 \\
      --train ILSVRC2012_img_train.tar --val ILSVRC2012_img_val.tar \\
      --val-labels ILSVRC2012_devkit_t12.tar.gz

After an interruption, give the same command again: it continues.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deeprect_gluon import native
from deeprect_gluon.data import prepare, records
from deeprect_gluon.data.imagenet_sources import scan_classes, scan_flat
from deeprect_gluon.data.shard import Packing
from deeprect_gluon.errors import run_program


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder of the shards")
    sorted_by_class = "a folder with a folder or archive per class, or an archive of archives"
    add("--train", type=Path, help=sorted_by_class)
    add("--val", type=Path, help="the same; or with --val-labels, images in one archive or folder")
    add(
        "--val-labels",
        type=Path,
        help="ILSVRC's development kit (archive or folder), or a text file of names and classes",
    )
    add("--verify", action="store_true", help="check every byte of the shards in the folder")
    defaults = Packing()
    add("--shorter-side", type=int, help="resize larger images to it (default: keep their bytes)")
    add("--quality", type=int, default=defaults.quality, help="of JPEGs that are made anew")
    add("--seed", type=int, default=defaults.seed, help="of the order of the images")
    add("--images-per-shard", type=int, default=defaults.images_per_shard)
    add("--processes", type=int, default=native.physical_cores())
    add("--allow-damaged", action="store_true", help="leave out images that are not whole")
    args = parser.parse_args(argv)
    if not (args.train or args.val or args.verify):
        parser.error("give --train, --val or --verify")
    if args.val_labels and not args.val:
        parser.error("--val-labels goes with --val")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    try:
        run(args)
    except KeyboardInterrupt:
        sys.exit(f"{Path(__file__).name}: interrupted; the same command goes on from here")


def run(args: argparse.Namespace) -> None:
    packing = Packing(args.shorter_side, args.quality, args.seed, args.images_per_shard)
    splits, classes = {}, None
    if args.train:
        splits["train"] = scan_classes(args.train)
        classes = prepare.find_classes(splits["train"])
    if args.val:
        splits["val"] = (
            scan_flat(args.val, args.val_labels) if args.val_labels else scan_classes(args.val)
        )
        classes = classes or prepare.known_classes(args.output, "train")
        classes = classes or prepare.find_classes(splits["val"])
    for split, sources in splits.items():
        metadata = prepare.prepare(
            args.output, split, sources, classes, packing, args.processes, args.allow_damaged
        )
        print(prepare.summary(metadata))
    if args.verify:
        for path in sorted(args.output.glob("*.json")):
            print(f"{path.stem}: {records.verify(args.output, path.stem)} images, all bytes right")


if __name__ == "__main__":
    run_program(main)
