#!/usr/bin/env python
"""Export every net of the zoo in all forms, run every form, and compare it with the net.

The exit status is 1 if a difference exceeds its tolerance.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Sequence

import mxnet as mx
import numpy as np

import zoo
from deeprect_gluon import models, native
from deeprect_gluon.errors import run_program
from deeprect_gluon.export import export_forms, load_export
from zoo import index as index_file
from zoo.publishing.datasets import get_dataset
from zoo.store import open_store

PORTABLE_PROGRAM = Path(__file__).parents[1] / "examples" / "mxnet_portable.py"
# The largest difference from the scores of the net, divided by the largest score.
TOLERANCES = {"float32": 1e-5, "float16": 5e-3, "int8": 0.1}


@dataclass(frozen=True)
class Result:
    """The results of an export in a runtime, a row of the table.

    Attributes
    ----------
    form, runtime : str
    difference : float
        The largest absolute difference from the scores of the net.
    limit : float
        The largest difference that is tolerated.
    same_class, error : float
        Fraction of the images with the same likeliest class as the net's, and with a wrong one.
    seconds : float
        For one image, in the fastest round.
    """

    form: str
    runtime: str
    difference: float
    limit: float
    same_class: float
    error: float
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the difference is tolerated; NaN is not."""
        return self.difference <= self.limit


# From the path of an export, inputs and a number of rounds to scores, and the seconds for an image.
Run = Callable[[Path, np.ndarray, int], "tuple[np.ndarray, float]"]


def _timed(
    run: Callable[[np.ndarray], np.ndarray], x: np.ndarray, rounds: int
) -> tuple[np.ndarray, float]:
    scores, seconds = run(x), []
    for _ in range(rounds):
        begun = time.perf_counter()
        run(x)
        seconds.append(time.perf_counter() - begun)
    return scores, min(seconds) / len(x)


def run_checked(path: Path, x: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
    """Run an export by `load_export`, that is by MXNet with this package or by ONNX Runtime."""
    return _timed(load_export(path), x, rounds)


def run_opencv(path: Path, x: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
    """Run an ONNX export by the module dnn of OpenCV."""
    import cv2

    net = cv2.dnn.readNetFromONNX(f"{path}.onnx")

    def run(x: np.ndarray) -> np.ndarray:
        net.setInput(x)
        return net.forward()

    return _timed(run, x, rounds)


def run_portable(path: Path, x: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
    """Run a portable export by MXNet, in a process that cannot import this package."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, scores = Path(folder) / "x.npy", Path(folder) / "y.npy"
        np.save(inputs, x)
        program = (
            "import runpy, sys; sys.modules['deeprect_gluon'] = None; del sys.argv[0]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        arguments = [PORTABLE_PROGRAM, path.resolve(), inputs, scores, rounds]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
            cwd=folder,
            env=os.environ,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"plain MXNet cannot run {path}: {done.stderr.strip()[-300:]}")
        return np.load(scores), float(done.stdout)


# Name of the runtime, the forms that it runs, and a function that runs them.
RUNTIMES: tuple[tuple[str, tuple[str, ...], Run], ...] = (
    ("MXNet", ("operator-float32", "operator-float16"), run_checked),
    ("plain MXNet", ("portable-float32", "portable-float16"), run_portable),
    ("ONNX Runtime", ("onnx-float32", "onnx-float16", "onnx-int8"), run_checked),
    ("OpenCV", ("onnx-float32", "onnx-float16"), run_opencv),
)


def check(
    net: models.DeepRect,
    paths: dict[str, Path],
    x: np.ndarray,
    labels: np.ndarray,
    rounds: int = 3,
    runtimes: Sequence[tuple[str, tuple[str, ...], Run]] = RUNTIMES,
) -> Iterator[Result]:
    """Compare the exports of a net in every runtime with the net.

    Parameters
    ----------
    net : DeepRect
    paths : dict of str to Path
        From `export_forms`.
    x : ndarray of float32, shape (N, C, H, W)
        Preprocessed images.
    labels : ndarray of int, shape (N,)
    rounds : int
        Timed passes over the images, after one that is not timed.
    runtimes : sequence of (name, forms, run)

    Yields
    ------
    Result
    """
    expected = net(mx.nd.array(x)).asnumpy()
    largest = float(np.abs(expected).max())
    for name, forms, run in runtimes:
        for form in forms:
            if form not in paths:
                continue
            scores, seconds = run(paths[form], x, rounds)
            found = scores.argmax(1)
            yield Result(
                form,
                name,
                difference=float(np.abs(scores - expected).max()),
                limit=TOLERANCES[form.rpartition("-")[2]] * largest,
                same_class=float((found == expected.argmax(1)).mean()),
                error=float((found != labels).mean()),
                seconds=seconds,
            )


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--repo", help="the zoo's store, a folder or URL; by default the package's own")
    add("--images", type=int, default=64, help="test images to compare on")
    add("--calibration", type=int, default=256, help="training images to quantise by")
    add("--rounds", type=int, default=5, help="timed passes; the fastest counts")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    native.keep_memory()
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
    run_program(main)
