"""Table 3: a 7x7 first layer with stride 2 in place of 3x3 layers on large maps.

The paper gives model A such a first layer and moves the other three layers of VGG-19 from large
maps to small ones, because convolutions on large maps are slower than convolutions on small maps
with the same number of operations. A step of A took 2.6 s, a step of VGG-19 3.0 s. Here every
convolution of both nets is timed with its ReLU, forward and backward, on two images of 224
pixels with all cores. Times are medians of interleaved rounds, intervals are over processes.
"Direct" is MXNet's convolution. "Winograd" is this project's operator, for all layers but the 7x7.
Only ratios are reported; they need a machine that does nothing else.
"""

from __future__ import annotations

import statistics
import time
from typing import Callable, Iterator

import mxnet as mx

from deeprect_gluon.models import Config
from deeprect_gluon.models.config import MaxPool
from deeprect_gluon.nn import ConvPReLU

from ..claim import Claim, Finding, Results, item
from ..statistics import verdict

KINDS = {"direct": False, "Winograd": None}
# Layers of the same number of multiply-adds, by their map: input and output channels.
EQUAL = {224: (64, 64), 112: (128, 128), 56: (256, 256), 28: (512, 512)}


def layers(name: str, input_size: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (channels, filters, kernel, stride, input map) of each convolution of a net."""
    size, channels = input_size, 3
    for layer in Config(name).layers:
        if isinstance(layer, MaxPool):
            size //= layer.stride
            continue
        yield channels, layer.filters, layer.kernel, layer.stride, size
        size //= layer.stride
        channels = layer.filters


def key(shape: tuple) -> str:
    channels, filters, kernel, stride, size = shape
    return f"{kernel}x{kernel}/{stride}, {channels} to {filters}, {size}"


def cases(quick: bool) -> dict:
    return {"2 images": {"rounds": 2, "size": 112} if quick else {"rounds": 9, "size": 224}}


def step(shape: tuple, fast: bool | None) -> Callable[[], None]:
    """Return a function that runs a layer forward and backward."""
    channels, filters, kernel, stride, size = shape
    layer = ConvPReLU(
        filters, kernel, stride, kernel // 2, in_channels=channels, activation="relu", fast=fast
    )
    layer.initialize(mx.init.MSRAPrelu())
    layer.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(2, channels, size, size))
    x.attach_grad()

    def run() -> None:
        with mx.autograd.record():
            y = layer(x)
        y.backward()
        mx.nd.waitall()

    return run


def measure(config: dict, seed: int) -> dict:
    mx.random.seed(seed)
    size = config["size"]
    nets = {name: list(layers(name, size)) for name in ("vgg19", "deeprect_a")}
    shapes = list(dict.fromkeys(nets["vgg19"] + nets["deeprect_a"]))
    contenders = {(s, kind): step(s, fast) for s in shapes for kind, fast in KINDS.items()}
    times: dict[tuple, list[float]] = {which: [] for which in contenders}
    for _ in range(config["rounds"] + 1):
        for which, run in contenders.items():
            begun = time.perf_counter()
            run()
            times[which].append(time.perf_counter() - begun)
    medians = {which: statistics.median(t[1:]) for which, t in times.items()}  # the first warms up
    by_map = {map_: (*shape, 3, 1, map_ * size // 224) for map_, shape in EQUAL.items()}
    return {
        kind: {
            "A / VGG-19": sum(medians[s, kind] for s in nets["deeprect_a"])
            / sum(medians[s, kind] for s in nets["vgg19"]),
            "by map": {m: medians[s, kind] / medians[by_map[28], kind] for m, s in by_map.items()},
            "milliseconds": {key(s): round(1e3 * medians[s, kind], 2) for s in shapes},
        }
        for kind in KINDS
    }


def findings(results: Results) -> list[Finding]:
    lines = []
    for kind in KINDS:
        slower = results.mean("2 images", item(kind, "by map", "224"))
        ratio = results.mean("2 images", item(kind, "A / VGG-19"))
        lines += [
            Finding(
                f"Equal complexity is slower on large maps: 64 filters on 224, 512 on 28 ({kind})",
                "slower",
                f"{slower:.2f} times the time",
                verdict(slower, low=1),
            ),
            Finding(
                f"The convolutions of A take less time than VGG-19's ({kind})",
                "0.87 times (2.6 s / 3.0 s)",
                f"{ratio:.2f} times",
                verdict(ratio, high=1),
            ),
        ]
    return lines


def table(results: Results) -> list[list[str]]:
    head = [
        "time beside that of 512 filters on 28",
        *(f"{f} on {m}" for m, (_, f) in EQUAL.items()),
    ]
    rows = [head]
    for kind in KINDS:
        cells = [results.mean("2 images", item(kind, "by map", str(m))) for m in EQUAL]
        rows.append([kind, *(f"{cell:.2f}" for cell in cells)])
    return rows


CLAIM = Claim(
    name="first_layer",
    doc=__doc__,
    cases=cases,
    measure=measure,
    findings=findings,
    table=table,
    seeds=3,
    alone=True,
)
