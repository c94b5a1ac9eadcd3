"""What a training is made of, beside its data and its net."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainConfig:
    """SGD with momentum, as in section 3 of the paper; defaults are the paper's where it has one.

    Parameters
    ----------
    epochs : int
    batch_size : int
        Over all workers.
    lr : float
        Learning rate at the start.
    lr_drops : tuple of int
        Epochs, counted from 0, at whose start the learning rate is divided by 10.
    momentum, weight_decay : float
        Slopes take no weight decay: their `wd_mult` is 0.
    seed : int
        Of the order of the data, its augmentation and dropout.
    max_steps : int
        Stop after so many steps; 0 for no limit.
    report_every : int
        Steps between two rows of the history.
    """

    epochs: int = 80
    batch_size: int = 128
    lr: float = 0.01
    lr_drops: tuple = ()
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0
    max_steps: int = 0
    report_every: int = 20

    def __post_init__(self):
        for name in ("epochs", "batch_size", "lr", "report_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be greater than 0")

    def lr_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch."""
        return self.lr * 0.1 ** sum(epoch >= drop for drop in self.lr_drops)
