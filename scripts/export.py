#!/usr/bin/env python
"""Export a trained net for inference: MXNet's symbol and parameters, portable or not, and ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import zoo
from deeprect_gluon import models, native
from deeprect_gluon.errors import run_program
from deeprect_gluon.export import FORMS, export_forms
from deeprect_gluon.images import prediction
from zoo.publishing.checkpoints import load_checkpoint, read_config
from zoo.publishing.datasets import get_dataset


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="a name of the zoo, or NAME:DATASET")
    source.add_argument("--weights", type=Path, help="a run's folder, or a .params file in it")
    add("--activation", help="of the zoo's net (default: prelu)")
    add("--repo", help="the zoo's store, a folder or URL (default: the package's own)")
    add("--form", nargs="+", choices=FORMS, default=list(FORMS), help="(default: all)")
    add("--half", action="store_true", help="also with weights kept in float16")
    add("--int8", action="store_true", help="also as ONNX quantised to eight bits")
    add(
        "--images",
        nargs="+",
        help="files or folders to calibrate --int8 by (default: training images of the dataset)",
    )
    add("--count", type=int, default=256, help="images to calibrate by (default: 256)")
    add("--output", type=Path, default=Path("exports"), help="folder (default: exports)")
    return parser.parse_args(argv)


def load_net(args: argparse.Namespace) -> tuple[models.DeepRect, str]:
    """Return the net and the name of its dataset."""
    if args.weights:
        folder = args.weights if args.weights.is_dir() else args.weights.parent
        return load_checkpoint(args.weights), read_config(folder)["dataset"]
    name, _, dataset = args.model.partition(":")
    entry = zoo.model_info(name, dataset or None, args.activation, args.repo)
    net = zoo.get_model(
        name,
        pretrained=f"{entry['dataset']}@{entry['version']}",
        activation=args.activation,
        repo=args.repo,
    )
    return net, entry["dataset"]


def calibration(net: models.DeepRect, dataset: str, args: argparse.Namespace) -> list[np.ndarray]:
    if not args.images:
        return list(get_dataset(dataset).training_images()[: args.count])
    sources = list(prediction.expand(args.images))[: args.count]
    return [prediction.load(source, net.config["in_channels"]) for source in sources]


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    native.keep_memory()
    net, dataset = load_net(args)
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / f"{net.config['name']}-{net.config['activation']}-{dataset}"
    images = calibration(net, dataset, args) if args.int8 else None
    for target in export_forms(net, path, args.form, args.half, images).values():
        print(target)


if __name__ == "__main__":
    run_program(main)
