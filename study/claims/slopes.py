"""Table 1: the slopes that PReLU learns, by layer and during training.

The slopes are those of the PReLU nets of Table 2. The paper trains for 75 epochs of ImageNet, these
nets for 3 or 2 epochs of Fashion-MNIST. All slopes start at 0.25, so that after so short a training
the mean slope of a layer shows its direction rather than its final value. The paper remarks that
the slopes of the first layer are large (both signs of its edge filters pass), and that slopes fall
with depth (layers become more nonlinear). Depth is measured by Spearman's rank correlation between
the mean slope of a layer and its number.
"""

from __future__ import annotations

from typing import Callable, Sequence

from scipy.stats import spearmanr

from ..claim import Claim, Finding, Results, item
from ..figures import Figure, Panel, Series
from ..statistics import verdict
from .rectifiers import ACTIVATIONS, REGIMES

LAYERS = ["conv1_1", *(f"conv2_{i}" for i in range(1, 5)), *(f"conv3_{i}" for i in range(1, 7))]
LAYERS += ["fc1", "fc2"]
PAPER = {
    "prelu_shared": (
        *(0.681, 0.103, 0.099, 0.228, 0.561, 0.126, 0.089, 0.124, 0.062, 0.008, 0.210),
        *(0.063, 0.031),
    ),
    "prelu": (
        *(0.596, 0.321, 0.204, 0.294, 0.464, 0.196, 0.152, 0.145, 0.124, 0.134, 0.198),
        *(0.074, 0.075),
    ),
}


# A metric: the mean slopes of the layers at the end.
last = item("curve", "slopes", -1)


def lead(slopes: Sequence[float]) -> float:
    """Return the slope of the first layer minus the mean slope of the others."""
    return slopes[0] - sum(slopes[1:]) / len(slopes[1:])


def trend(slopes: Sequence[float]) -> float:
    """Return the rank correlation of slopes with depth: -1 if slopes fall from layer to layer."""
    return float(spearmanr(range(len(slopes)), slopes)[0])


def findings(results: Results) -> list[Finding]:
    lines = []
    for regime in REGIMES:
        for activation, paper in PAPER.items():
            case, name = f"{regime}: {activation}", ACTIVATIONS[activation]
            first = results.mean(case, lambda result: lead(last(result)))
            falls = results.mean(case, lambda result: trend(last(result)))
            lines += [
                Finding(
                    f"Table 1: conv1's slope is above the others' mean ({name}, {regime})",
                    f"{lead(paper):+.3f}",
                    f"{first:+.3f}",
                    verdict(first, low=0),
                ),
                Finding(
                    f"Table 1: slopes fall with depth, rank correlation ({name}, {regime})",
                    f"{trend(paper):+.2f}",
                    f"{falls:+.2f}",
                    verdict(falls, high=0),
                ),
            ]
    return lines


def table(results: Results) -> list[list[str]]:
    columns = [(regime, activation) for activation in PAPER for regime in REGIMES]
    head = ["layer"]
    for activation in PAPER:
        head.append(f"{ACTIVATIONS[activation]}: paper")
        head += list(REGIMES)
    means = {(r, a): results.means(f"{r}: {a}", last) for r, a in columns}
    rows = [head]
    for i, layer in enumerate(LAYERS):
        row = [layer]
        for activation, paper in PAPER.items():
            row.append(f"{paper[i]:.3f}")
            row += [f"{means[regime, activation][i]:.3f}" for regime in REGIMES]
        rows.append(row)
    return rows


def figures(results: Results) -> list[Figure]:
    by_layer, courses = [], []
    for activation, paper in PAPER.items():
        name = ACTIVATIONS[activation]
        series = [Series("paper", LAYERS, paper, style="k--")]
        for regime in REGIMES:
            case = f"{regime}: {activation}"
            series.append(Series.of(regime, LAYERS, results.means(case, last)))
        by_layer.append(Panel(name, "", "mean slope at the end", series, level=0.25))

        case = f"{next(iter(REGIMES))}: {activation}"
        steps = results.values(case, "curve")[0]["step"]
        course = [
            Series.of(layer, steps, results.means(case, column(i)))
            for i, layer in enumerate(LAYERS)
            if layer in ("conv1_1", "conv2_1", "conv2_4", "conv3_1", "conv3_6", "fc2")
        ]
        title = f"{name}, {next(iter(REGIMES))}"
        courses.append(Panel(title, "step", "mean slope", course, level=0.25))
    return [
        Figure("slopes", "Slopes by layer, beside Table 1; dotted: where they start.", by_layer),
        Figure("slopes_course", "Slopes during training.", courses),
    ]


def column(layer: int) -> Callable[[dict], list[float]]:
    """Return a metric: the mean slope of one layer at each point of the curve."""
    return lambda result: [slopes[layer] for slopes in result["curve"]["slopes"]]


CLAIM = Claim(
    name="slopes",
    doc=__doc__,
    reads="rectifiers",
    findings=findings,
    table=table,
    figures=figures,
)
