#!/usr/bin/env python
"""Draw models A, B, C into docs/images/models.png and print docs/models.md's table of Table 3."""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deeprect_gluon.models import ARCHITECTURES, Config, get_model, summary

DRAWN = ("deeprect_a", "deeprect_b", "deeprect_c")
COLOURS = {7: "#d99a5b", 3: "#5b8fc9", "pool": "#9aa3ad", "spp": "#6aa86a", "fc": "#b08bc0"}


def blocks(name: str) -> list[tuple]:
    """Return (kind, label below, map size, repetitions) of the parts of a net, in order."""
    architecture, config = ARCHITECTURES[name], Config(name)
    stem = architecture.stems["imagenet"][0]
    size = config.input_size // stem.stride
    parts = [(stem.kernel, f"{stem.kernel}x{stem.kernel}, {stem.filters}, /2", size, stem.times)]
    for stage in architecture.stages:
        size //= 2
        label = f"{stage.times} of {stage.kernel}x{stage.kernel}, {stage.filters}"
        parts += [("pool", "", size, 1), (stage.kernel, label, size, stage.times)]
    levels = ", ".join(map(str, config.pyramid))
    parts.append(("spp", f"spp\n{levels}", 7, 1))
    return [*parts, ("fc", f"fc\n{config.hidden[0]}, {config.hidden[1]}, {config.classes}", 7, 3)]


def draw(path: Path) -> None:
    figure = Figure(figsize=(11, 6.6), dpi=110)
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(len(DRAWN), 1), DRAWN):
        x = 0.0
        for kind, label, size, times in blocks(name):
            start, height = x, size**0.5
            for _ in range(times):
                width = 0.3 if kind == "pool" else 0.8
                box = (x, -height / 2)
                axes.add_patch(Rectangle(box, width, height, facecolor=COLOURS[kind], ec="white"))
                x += width + 0.08
            middle = (start + x) / 2
            axes.text(middle, -7.4, label, ha="center", va="center", fontsize=8)
            if kind in (7, 3):
                axes.text(middle, 6.2, f"{size}x{size}", ha="center", fontsize=8, color="0.35")
            x += 0.45 if kind != "pool" else 0.1
        axes.set(xlim=(-0.2, 24.4), ylim=(-9, 7.5))
        axes.set_title(f"Model {name[-1].upper()}", loc="left", fontsize=10, weight="bold")
        axes.axis("off")
    figure.text(
        0.5,
        0.01,
        "orange, blue: convolution and rectifier; grey: max pooling 2x2, /2; "
        "height: square root of the map's",
        ha="center",
        fontsize=8,
        color="0.35",
    )
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path)


def table() -> str:
    rows = [
        "| | weight layers | parameters (ReLU) | PReLU slopes | multiply-adds | the paper's | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("vgg19", *DRAWN):
        relu, prelu = (summary(get_model(name, kind)) for kind in ("relu", "prelu"))
        depth = sum(layer.multiply_adds > 0 for layer in relu.layers)
        published = ARCHITECTURES[name].multiply_adds
        rows.append(
            f"| `{name}` | {depth} | {relu.parameters:,} | {prelu.parameters - relu.parameters:,} "
            f"| {relu.multiply_adds:.3e} | {published:.2e} "
            f"| {relu.multiply_adds / published - 1:+.1%} |"
        )
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[1] / "docs" / "images" / "models.png"
    parser.add_argument("--output", type=Path, default=default, help="the picture (default: docs)")
    path = parser.parse_args(argv).output
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(path)
    print(table())


if __name__ == "__main__":
    main()
