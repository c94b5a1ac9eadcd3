"""Describe figures as data and draw them; a picture contains the digest of its data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from PIL import Image

from deeprect_gluon.files import write_atomically

from .statistics import Interval

DIGEST = "Data-SHA256"  # the key of the text in the PNG


@dataclass(frozen=True)
class Series:
    """Points joined by a line, and the band of their intervals."""

    label: str
    x: Sequence[float | str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: str = "-"

    @classmethod
    def of(cls, label: str, x: Sequence, intervals: Sequence[Interval], style: str = "-") -> Series:
        """Return the series of means with the band of their intervals."""
        mean, low, high = ([getattr(i, end) for i in intervals] for end in ("mean", "low", "high"))
        return cls(label, list(x), mean, low, high, style)


@dataclass(frozen=True)
class Panel:
    """One diagram of a figure, with a dotted horizontal line at `level`."""

    title: str
    xlabel: str
    ylabel: str
    series: Sequence[Series]
    level: float | None = None


@dataclass(frozen=True)
class Figure:
    """Panels side by side; `name` is the name of the file."""

    name: str
    caption: str
    panels: Sequence[Panel]

    def digest(self) -> str:
        """Return the SHA-256 of the data, with numbers rounded to five digits."""
        text = json.dumps(_rounded(asdict(self)), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return f"{value:.5g}" if isinstance(value, float) else value


def _draw_panel(axes: Any, panel: Panel) -> None:
    for series in panel.series:
        (line,) = axes.plot(series.x, series.y, series.style, label=series.label, linewidth=1.4)
        if series.low is not None:
            colour = line.get_color()
            axes.fill_between(series.x, series.low, series.high, alpha=0.2, color=colour, lw=0)
    if panel.level is not None:
        axes.axhline(panel.level, color="0.5", linestyle=":", linewidth=1)
    axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
    if panel.series and isinstance(panel.series[0].x[0], str):
        axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.legend(fontsize=8)


def draw(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG that contains the digest of the data."""
    count = len(figure.panels)
    canvas = Canvas(figsize=(min(4.8 * count, 12), 3.8), dpi=110)
    FigureCanvasAgg(canvas)
    for axes, panel in zip(canvas.subplots(1, count, squeeze=False)[0], figure.panels):
        _draw_panel(axes, panel)
    canvas.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {DIGEST: figure.digest()}
    write_atomically(path, lambda temporary: canvas.savefig(temporary, metadata=text))


def drawn_digest(path: Path) -> str | None:
    """Return the digest in a picture; None if there is no picture or no digest."""
    try:
        with Image.open(path) as image:
            return image.info.get(DIGEST)
    except OSError:
        return None
