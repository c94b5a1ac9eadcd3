"""Compute the learning rate of each step."""

from __future__ import annotations

from .config import TrainConfig

BASE_BATCH = 128  # the paper's batch size, for which its learning rates are meant


class Schedule:
    """Warm-up, drops at given epochs, and drops at plateaus of the validation error (section 3).

    The rates depend on the configuration and on the errors given to `update` only. Both are the
    same on all workers, and so are the rates.

    Parameters
    ----------
    config : TrainConfig
    steps_per_epoch : int

    Attributes
    ----------
    finished : bool
        Whether `config.early_stop` ends the training.
    """

    def __init__(self, config: TrainConfig, steps_per_epoch: int):
        self._config, self._steps_per_epoch = config, steps_per_epoch
        self._best: float | None = None
        self._waited = self._drops = 0
        self.finished = False

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        config = self._config
        lr = config.lr * (config.batch_size / BASE_BATCH if config.linear_scaling else 1)
        epoch = step // self._steps_per_epoch
        lr *= 0.1 ** (self._drops + sum(epoch >= drop for drop in config.lr_drops))
        warm = config.warmup_epochs * self._steps_per_epoch
        return lr * min(1, (step + 1) / warm) if warm else lr

    def update(self, error: float) -> None:
        """Adapt the rates to the validation error (a fraction) after an epoch."""
        config = self._config
        if not config.plateau:
            return
        if self._best is None or error < self._best - config.plateau_gain:
            self._best, self._waited = error, 0
            return
        self._waited += 1
        if self._waited < config.plateau:
            return
        self._waited = 0
        if self._drops < config.plateau_drops:
            self._drops += 1
        elif config.early_stop:
            self.finished = True

    def state(self) -> dict:
        """Return what `restore` needs, as JSON values."""
        return {
            "best": self._best,
            "waited": self._waited,
            "drops": self._drops,
            "finished": self.finished,
        }

    def restore(self, state: dict) -> None:
        """Continue from what `state` returned."""
        self._best = None if state["best"] is None else float(state["best"])
        self._waited, self._drops = int(state["waited"]), int(state["drops"])
        self.finished = bool(state["finished"])
        if not 0 <= self._drops <= self._config.plateau_drops:
            raise ValueError(f"its learning rate was divided by 10 {self._drops} times")
