"""Format the results of trainings as text and draw their figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .history import Row


def results(rows: Sequence[Row]) -> str:
    """Return a table of the latest twenty epochs of a training; '' if there is none.

    Parameters
    ----------
    rows : sequence of Row
    """
    measured = [(row.val_error, row) for row in rows if row.val_error is not None]
    if not measured:
        return ""
    lowest, best = min(measured, key=lambda pair: pair[0])
    table = [("epoch", "step", "lr", "loss", "val loss", "val error", "top-5", "images/s")]
    for error, row in measured[-20:]:
        mark = " *" if row is best else ""
        table.append(
            (
                f"{row.epoch:.4g}",
                f"{row.step}",
                f"{row.lr:.4g}",
                f"{row.train_loss:.4f}",
                f"{row.val_loss:.4f}",
                f"{error:.2%}{mark}",
                f"{row.val_top5_error:.2%}",
                f"{row.images_per_second:.0f}",
            )
        )
    return f"{columns(table)}\nbest (*): {lowest:.2%} after epoch {best.epoch:.4g}"


def columns(table: Sequence[Sequence[str]]) -> str:
    """Return the rows of a table as lines, their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def loss_curves(runs: Mapping[str, Sequence[Row]], classes: int, title: str, path: Path) -> None:
    """Draw the training loss of several runs over their steps, beside the loss of guessing.

    Parameters
    ----------
    runs : mapping of label to rows
    classes : int
        Guessing among them costs ln(classes) nats.
    title : str
    path : Path
        The picture's file; its suffix gives the format.
    """
    figure = Figure(figsize=(7, 4.2), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for label, rows in runs.items():
        axes.plot([r.step for r in rows], [r.train_loss for r in rows], label=label)
    axes.axhline(math.log(classes), color="0.6", linestyle=":", label=f"guessing: ln {classes}")
    axes.set(xlabel="step", ylabel="training loss (nats)", title=title, ylim=(0, None))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def compare_curves(runs: Mapping[str, Sequence[Row]], path: Path, title: str = "") -> None:
    """Draw the loss and the error of runs over their epochs; each of several has its colour.

    Parameters
    ----------
    runs : mapping of label to rows
    path : Path
    title : str
    """
    figure = Figure(figsize=(9, 3.6), dpi=120)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for axes, name, unit, scale in (
        (panels[0], "loss", "nats", 1),
        (panels[1], "error", "%", 100),
    ):
        for number, (label, rows) in enumerate(runs.items()):
            for split, what in (("train", "training"), ("val", "validation")):
                points = [
                    (r.epoch, scale * getattr(r, f"{split}_{name}"))
                    for r in rows
                    if getattr(r, f"{split}_{name}") is not None
                ]
                style = {"label": f"{label} {what}".strip()}
                if len(runs) > 1:
                    style.update(color=f"C{number}", linestyle=":" if split == "train" else "-")
                if points:
                    axes.plot(*zip(*points), **style)
        axes.set(xlabel="epoch", ylabel=f"{name} ({unit})", ylim=(0, None))
        axes.legend()
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path)
