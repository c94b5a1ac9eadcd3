"""Section 2.2: the variance of signals and gradients through depth, predicted and measured.

The net is the 30-layer net at its published widths, with ReLU, freshly initialised. Test images are
enlarged to 112x112, so that the last stage of 22 equal layers has maps of 28. The prediction is the
product of Eqns 8 and 12 with the measured variances of the weights. The measurement is the mean
square of the output of each layer, and of the gradient of its input for a normal gradient at the
end (`deeprect_gluon.initializer.variance_report`). The theory ignores poolings and the zeros around
padded maps, which are steps in the figure. The gain is the factor of one layer, the geometric mean
over the last stage. It is reproduced if the measured gain is within 10 % of the predicted one. The
worked example is the paper's: the ten convolutions of VGG's model B, with a standard deviation of
0.01 against the derived one.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import mxnet as mx
import numpy as np

from deeprect_gluon.data import fashion_mnist as data
from deeprect_gluon.images import normalise, resize_shorter
from deeprect_gluon.initializer import MSRA, rectifier_slopes, variance_report
from deeprect_gluon.models import ARCHITECTURES, DeepRect
from deeprect_gluon.models.architectures import conv3x3

from ..claim import Claim, Finding, Results
from ..figures import Figure, Panel, Series
from ..statistics import verdict
from ..training import build, initialize

VGG_B = {
    "vgg_b": ARCHITECTURES["vgg19"]._replace(
        stages=tuple(conv3x3(filters, 2) for filters in (128, 256, 512, 512)), multiply_adds=None
    )
}
EXAMPLE = "worked example"
RULES: dict[str, dict[str, Any]] = {
    "MSRA, fan-in": {"rule": "msra", "fan": "in"},
    "MSRA, fan-out": {"rule": "msra", "fan": "out"},
    "Xavier": {"rule": "xavier", "fan": "in"},
    "std 0.01": {"rule": 0.01, "fan": "in"},
}


def cases(quick: bool) -> dict:
    common = {"images": 4 if quick else 16, "width": 0.25 if quick else 1.0}
    found = {name: {**common, **rule, "size": 112} for name, rule in RULES.items()}
    return {**found, EXAMPLE: {"images": 4, "size": 64}}


def real_images(count: int, size: int, seed: int) -> mx.nd.NDArray:
    images, _ = data.load("test")
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    enlarged = np.stack([resize_shorter(image[..., None], size) for image in images[chosen]])
    return normalise(enlarged, data.PREPROCESS["mean"], data.PREPROCESS["std"])


def measure(config: dict, seed: int) -> dict:
    x = real_images(config["images"], config["size"], seed)
    if "rule" not in config:
        return {"attenuation": attenuation(x, seed)}
    net = build(
        "relu", name="deeprect_small30", input_size=config["size"], width=config["width"], hidden=()
    )
    initialize(net, config["rule"], config["fan"], seed)
    layers = variance_report(net, x, seed).layers
    result: dict[str, list] = {
        "layers": [v.name[len(net.prefix) : -len("_weight")] for v in layers]
    }
    for key in ("forward", "forward_expected", "backward", "backward_expected"):
        result[key] = [float(f"{getattr(v, key):.6g}") for v in layers]
    return result


def build_vgg_b(input_size: int) -> DeepRect:
    return build(
        "relu",
        name="vgg_b",
        architectures=VGG_B,
        input_size=input_size,
        pyramid=(1,),
        hidden=(),
    )


def attenuation(x: mx.nd.NDArray, seed: int) -> float:
    """Return the factor by which std 0.01 shrinks the gradient at the second convolution of VGG-B.

    As in the example of the paper, only convolutions from the second on have this std.
    """
    gradients = []
    for fixed in (False, True):
        net = build_vgg_b(x.shape[2])
        slopes = rectifier_slopes(net)
        _, *convolutions = [name for name in slopes if "_conv" in name]
        stds = dict.fromkeys(convolutions, 0.01) if fixed else {}
        net.initialize(MSRA(slopes, fan="out", seed=seed, stds=stds))
        gradients.append(variance_report(net, x, seed).layers[1].backward)
    return math.sqrt(gradients[0] / gradients[1])


def gain(key: str) -> Callable[[dict], float]:
    """Return a metric: the factor by which a layer of the last stage multiplies the variance."""

    def of(result: dict) -> float:
        stage = [v for name, v in zip(result["layers"], result[key]) if name.startswith("conv3_")]
        ratio = stage[-1] / stage[0] if key.startswith("forward") else stage[0] / stage[-1]
        return ratio ** (1 / (len(stage) - 1))

    return of


def logarithms(key: str) -> Callable[[dict], list[float]]:
    """Return a metric: the common logarithms of the variances of all layers."""
    return lambda result: [math.log10(v) for v in result[key]]


def findings(results: Results) -> list[Finding]:
    lines = []
    for case in RULES:
        for key, direction in (("forward", "signals"), ("backward", "gradients")):
            expected = results.mean(case, gain(f"{key}_expected")).mean
            measured = results.mean(case, gain(key))
            lines.append(
                Finding(
                    f"Variance of {direction}, gain of a layer ({case})",
                    f"{expected:.3f}, predicted",
                    f"{measured:.3f}",
                    verdict(measured, 0.9 * expected, 1.1 * expected),
                )
            )
    found = results.mean(EXAMPLE, "attenuation").scaled(1e-4)
    lines.append(
        Finding(
            "VGG's model B: std 0.01 weakens the gradient from conv10 to conv2",
            "1.7e4 times",
            f"{found:.2f}e4 times",
            verdict(found, 1.65, 1.75),
        )
    )
    return lines


def figures(results: Results) -> list[Figure]:
    panels = []
    for key, title in (("forward", "signals, E[y²]"), ("backward", "gradients, E[Δx²]")):
        series = []
        for i, case in enumerate(("MSRA, fan-in", "Xavier", "std 0.01")):
            layers = results.values(case, "layers")[0]
            measured = results.means(case, logarithms(key))
            series.append(Series.of(case, layers, measured, style=f"C{i}-"))
            predicted = [v.mean for v in results.means(case, logarithms(f"{key}_expected"))]
            series.append(Series(f"{case}, predicted", layers, predicted, style=f"C{i}:"))
        panels.append(Panel(title, "", "log10 of the mean square", series))
    caption = "Variance through the 30-layer net: measured (lines) and predicted (dotted)."
    return [Figure("variance", caption, panels)]


CLAIM = Claim(
    name="variance",
    doc=__doc__,
    cases=cases,
    measure=measure,
    findings=findings,
    figures=figures,
)
