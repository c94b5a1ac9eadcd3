#!/usr/bin/env python
"""Classify images: files, folders or URLs in, the likeliest classes out."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

import zoo
from deeprect_gluon import evaluation, models
from deeprect_gluon.errors import run_program
from deeprect_gluon.files import readable, write_atomically
from deeprect_gluon.images import prediction
from zoo.publishing.checkpoints import load_checkpoint


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("images", nargs="+", help="files, folders, or http(s) URLs")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="a name of the zoo, or NAME:DATASET")
    source.add_argument("--weights", type=Path, help="a .params file with config.json beside it")
    add("--top", type=int, default=5, help="classes to name (default: 5)")
    add("--view", choices=("center", "ten", "dense"), default="center")
    add("--side", type=int, help="shorter side of the resized image, in pixels")
    add("--scales", type=int, nargs="+", default=[256, 384, 480], help="of the dense view")
    add("--json", action="store_true", help="print one JSON list instead of text")
    add("--annotate", type=Path, metavar="FOLDER", help="write pictures with the classes into it")
    add("--repo", help="the zoo's store, a folder or URL (default: the package's own)")
    return parser.parse_args(argv)


def load_net(args: argparse.Namespace) -> models.DeepRect:
    if args.model:
        name, _, dataset = args.model.partition(":")
        return zoo.get_model(name, pretrained=dataset or True, repo=args.repo)
    return load_checkpoint(args.weights)


def probabilities(net: models.DeepRect, image: np.ndarray, args: argparse.Namespace) -> np.ndarray:
    if args.view == "dense":
        return evaluation.dense_view(net, image, args.scales)
    side = args.side or net.preprocess.resize or net.config["input_size"]
    if args.view == "ten":
        return evaluation.ten_view(net, image, side)
    if args.side:
        return evaluation.center_view(net, image, side)
    return net(net.preprocess(image)).softmax().asnumpy()[0]


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    net = load_net(args)
    net.hybridize()
    if args.annotate:
        args.annotate.mkdir(parents=True, exist_ok=True)
    results, skipped = [], 0
    for number, source in enumerate(prediction.expand(args.images), start=1):
        name = readable(source)
        try:
            image = prediction.load(source, net.config["in_channels"])
            shares = probabilities(net, image, args)
        except (ValueError, OSError) as error:
            print(f"{Path(__file__).name}: skipped {name}: {error}", file=sys.stderr)
            skipped += 1
            continue
        guesses = prediction.likeliest(shares, net.classes, args.top)
        results.append({"image": name, "classes": [asdict(guess) for guess in guesses]})
        if not args.json:
            print(name)
            for guess in guesses:
                print(f"  {guess.probability:7.2%}  {guess.name}")
        if args.annotate:
            path = args.annotate / f"{number:03d}-{Path(source).stem[:100]}.png"
            write_atomically(path, prediction.annotate(image, guesses).save)
    if args.json:
        print(json.dumps(results, indent=2))
    return 1 if skipped else 0


if __name__ == "__main__":
    run_program(main)
