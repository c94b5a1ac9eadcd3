"""Tables 4 and 5: testing in several views and at several scales.

All sizes are the paper's divided by eight. A 14-layer PReLU net for inputs of 28 pixels is trained
on images enlarged to a random side of 32 to 64, then cropped to 28 at random and mirrored. It is
tested at the sides 32, 48 and 60, in place of 256, 384 and 480. Enlarged 28x28 images have no
detail beyond 28 pixels, and the object fills the image. So this measures what averaging over places
and scales gives to a net trained with such images, not what more detail gives. Errors are of the
first 5,000 test images. The paper prints no error of a single crop.
"""

from __future__ import annotations

from typing import Callable, Sequence

import mxnet as mx
import numpy as np
from PIL import Image

from deeprect_gluon.data import fashion_mnist as data
from deeprect_gluon.evaluation import dense_probabilities, top_errors
from deeprect_gluon.images import center_crop, normalise, resize_shorter, ten_crops
from deeprect_gluon.models import DeepRect

from ..claim import Claim, Finding, Results, item
from ..statistics import verdict
from ..training import build, initialize, train

SIDES = (32, 48, 60)
JITTER = (32, 64)
# Top-1 errors of model A with PReLU, %.
PAPER = {"10 views": 25.59, "dense, 32": 25.81, "dense, 48": 24.20, "dense, 60": 24.83}
PAPER["dense, all scales"] = 22.97
VIEWS = ("one crop", *PAPER)


def cases(quick: bool) -> dict:
    training = {"epochs": 3, "lr_drops": [2], "report_every": 39}
    if quick:
        training.update(max_steps=78)
    return {"14 layers": {"width": 0.25, "train": training, "images": 500 if quick else 5_000}}


def scale_jitter(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Enlarge each image to a random side, crop it at a random place, and mirror half of them."""
    low, high, size = images.min(), images.max(), images.shape[2]
    crops = np.empty_like(images)
    for image, crop in zip(images[:, 0], crops[:, 0]):
        side = int(rng.integers(JITTER[0], JITTER[1] + 1))
        top, left = rng.integers(0, side - size + 1, size=2)
        enlarged = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        crop[:] = enlarged[top : top + size, left : left + size]
    mirrored = rng.random(len(crops)) < 0.5
    crops[mirrored] = crops[mirrored, :, :, ::-1]
    return crops.clip(low, high)  # as images of whole numbers would be


def probabilities(net: DeepRect, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return class probabilities (N, classes) of images (uint8, (N, H, W, 1)) for each test."""

    def to_input(views: Sequence[np.ndarray]) -> mx.nd.NDArray:
        return normalise(np.stack(views), data.PREPROCESS["mean"], data.PREPROCESS["std"])

    size = net.config["input_size"]
    resized = {side: np.stack([resize_shorter(i, side) for i in images]) for side in SIDES}
    smallest = resized[SIDES[0]]
    found = {
        "one crop": net(to_input([center_crop(i, size) for i in smallest])).softmax().asnumpy()
    }
    crops = np.concatenate([ten_crops(i, size) for i in smallest])
    found["10 views"] = (
        net(to_input(crops)).softmax().asnumpy().reshape(len(images), 10, -1).mean(1)
    )
    dense = []
    for side, views in resized.items():
        both = [
            dense_probabilities(net, to_input(v)).mean((1, 2)) for v in (views, views[:, :, ::-1])
        ]
        dense.append(np.mean(both, axis=0))
        found[f"dense, {side}"] = dense[-1]
    return {**found, "dense, all scales": np.mean(dense, axis=0)}


def measure(config: dict, seed: int) -> dict:
    net = build("prelu", name="deeprect_small14", width=config["width"], hidden=(256, 256))
    initialize(net, "msra", "in", seed)
    trained = train(net, config["train"], seed, scale_jitter)
    net.hybridize(False)  # maps of several sizes follow
    images, labels = data.load("test")
    images, labels = images[: config["images"], ..., None], labels[: config["images"]]
    parts = [probabilities(net, images[i : i + 250]) for i in range(0, len(images), 250)]
    errors = {
        view: top_errors(np.concatenate([part[view] for part in parts]), labels, top=(1,))[1]
        for view in VIEWS
    }
    return {"errors": errors, "train_loss": trained["train_loss"]}


COMPARISONS = [
    ("10 views err less than one crop", "10 views", "one crop"),
    ("Dense testing errs less than one crop", "dense, 32", "one crop"),
    ("Table 4: scale 384 (48) errs less than 256 (32)", "dense, 48", "dense, 32"),
    ("Table 4: scale 384 (48) errs less than 480 (60)", "dense, 48", "dense, 60"),
    ("Table 4: all scales err less than the best one", "dense, all scales", "dense, 48"),
    ("Tables 4, 5: all scales err less than 10 views", "dense, all scales", "10 views"),
]


def less(view: str, base: str) -> Callable[[dict], float]:
    """Return a metric: the error of one way of testing minus that of another."""
    return lambda result: result["errors"][view] - result["errors"][base]


def findings(results: Results) -> list[Finding]:
    lines = []
    for claim, view, base in COMPARISONS:
        known = view in PAPER and base in PAPER
        paper = f"{PAPER[view] - PAPER[base]:+.2f} points" if known else "not printed"
        gain = results.mean("14 layers", less(view, base)).scaled(100)
        lines.append(Finding(claim, paper, f"{gain:+.2f} points", verdict(gain, high=0)))
    return lines


def table(results: Results) -> list[list[str]]:
    rows = [["test", "paper, model A, %", "ours, %"]]
    for view in VIEWS:
        error = results.mean("14 layers", item("errors", view)).scaled(100)
        paper = f"{PAPER[view]:.2f}" if view in PAPER else ""
        rows.append([view, paper, f"{error:.2f}"])
    return rows


CLAIM = Claim(
    name="views",
    doc=__doc__,
    cases=cases,
    measure=measure,
    findings=findings,
    table=table,
)
