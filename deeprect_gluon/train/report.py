"""What a training is going to be, and what it was, as text."""

from __future__ import annotations

from typing import Sequence

import mxnet as mx

from ..models import summary
from .config import TrainConfig
from .history import Row
from .memory import estimate
from .schedule import Schedule


def plan(net: mx.gluon.HybridBlock, config: TrainConfig, steps_per_epoch: int, workers: int) -> str:
    """Return the memory that a training takes and its learning rates, epoch by epoch.

    Parameters
    ----------
    net : DeepRect
    config : TrainConfig
    steps_per_epoch, workers : int
    """
    counts = summary(net)
    images = -(-config.batch_size // workers)
    memory = estimate(net, images)
    table = [
        ("parameters", f"{counts.parameters:,}"),
        ("multiply-adds for an image", f"{counts.multiply_adds:,}"),
        ("workers", f"{workers}, each with {images} of the {config.batch_size} images of a step"),
        ("memory of a worker", _size(memory.total)),
        ("  parameters, gradients, momentum", f"3 x {_size(memory.parameters)}"),
        ("  activations and their gradients", _size(memory.activations)),
        ("a checkpoint", _size(memory.parameters + memory.momentum)),
        ("steps in an epoch", f"{steps_per_epoch:,}"),
        ("steps in all", f"{_last_step(config, steps_per_epoch):,}"),
    ]
    return f"{_columns(table)}\n\n{_columns(_rates(config, steps_per_epoch))}"


def _last_step(config: TrainConfig, steps_per_epoch: int) -> int:
    steps = config.epochs * steps_per_epoch
    return min(steps, config.max_steps) if config.max_steps else steps


def _rates(config: TrainConfig, steps_per_epoch: int) -> list[tuple[str, str]]:
    """Return (epochs, learning rate), equal epochs in one row."""
    schedule, rows = Schedule(config, steps_per_epoch), []
    epochs = -(-_last_step(config, steps_per_epoch) // steps_per_epoch)
    for epoch in range(epochs):
        first, last = (schedule.lr(epoch * steps_per_epoch + i) for i in (0, steps_per_epoch - 1))
        rate = f"{first:.6g}" if first == last else f"{first:.6g} to {last:.6g}"
        if rows and rows[-1][2] == rate:
            rows[-1][1] = epoch
        else:
            rows.append([epoch, epoch, rate])
    table = [("epochs", "learning rate"), *((f"{a} to {b}", rate) for a, b, rate in rows)]
    if config.plateau:
        after = f"{config.plateau} epochs without a validation error lower by {config.plateau_gain}"
        table.append(("plateaus", f"/ 10, up to {config.plateau_drops} times, after {after}"))
        if config.early_stop:
            table.append(("", "and stop at the next"))
    return table


def results(rows: Sequence[Row]) -> str:
    """Return a table of the epochs of a training, or of the latest twenty of many; '' for none.

    Parameters
    ----------
    rows : sequence of Row
    """
    measured = [row for row in rows if row.val_error is not None]
    if not measured:
        return ""
    best = min(measured, key=lambda row: row.val_error)
    table = [("epoch", "step", "lr", "loss", "val loss", "val error", "top-5", "images/s")]
    for row in measured[-20:]:
        mark = " *" if row is best else ""
        table.append(
            (
                f"{row.epoch:.4g}",
                f"{row.step}",
                f"{row.lr:.4g}",
                f"{row.train_loss:.4f}",
                f"{row.val_loss:.4f}",
                f"{row.val_error:.2%}{mark}",
                f"{row.val_top5_error:.2%}",
                f"{row.images_per_second:.0f}",
            )
        )
    return f"{_columns(table)}\nbest (*): {best.val_error:.2%} after epoch {best.epoch:.4g}"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _columns(table: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)
