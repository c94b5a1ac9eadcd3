#!/usr/bin/env python
"""Export every net of the zoo in all forms, run them in every runtime, compare with the net.

Exits with an error if a difference exceeds its tolerance.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import zoo
from deeprect_gluon import library
from zoo import index as index_file
from zoo.deploy import check, export_forms
from zoo.publishing.datasets import get_dataset
from zoo.store import open_store


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--repo", help="the zoo's store, a folder or URL; by default the package's own")
    add("--images", type=int, default=64, help="test images to compare on")
    add("--calibration", type=int, default=256, help="training images to quantise by")
    add("--rounds", type=int, default=5, help="timed passes; the fastest counts")
    return parser.parse_args()


def main() -> int:
    args = parse()
    library.keep_memory()
    columns = ["model", "form", "runtime", "difference", "tolerated", "same class", "error"]
    columns.append("ms per image")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    bad = 0
    for entry in index_file.latest(open_store(args.repo).entries):
        net = zoo.get_model(
            entry["name"],
            pretrained=f"{entry['dataset']}@{entry['version']}",
            activation=entry["config"]["activation"],
            repo=args.repo,
        )
        net.hybridize()
        dataset = get_dataset(entry["dataset"])
        images, labels = (part[: args.images] for part in dataset.test_set())
        x = net.preprocess(images).asnumpy()
        calibration = dataset.training_images()[: args.calibration]
        with tempfile.TemporaryDirectory() as folder:
            paths = export_forms(net, Path(folder) / "net", half=True, calibration=calibration)
            for result in check(net, paths, x, labels, args.rounds):
                print(
                    f"| {index_file.title(entry)} | {result.form} | {result.runtime} "
                    f"| {result.difference:.1e} | {result.limit:.1e} | {result.same_class:.1%} "
                    f"| {result.error:.2%} "
                    f"| {1e3 * result.seconds:.3f} |{'' if result.good else ' TOO LARGE'}",
                    flush=True,
                )
                bad += not result.good
    return bool(bad)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, LookupError, ImportError, RuntimeError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
