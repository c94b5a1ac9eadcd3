"""Training: the same loop for one process and for many Horovod ranks."""

from .config import TrainConfig
from .distributed import Workers
from .history import History
from .loop import evaluate, fit
from .run import Run

__all__ = ["History", "Run", "TrainConfig", "Workers", "evaluate", "fit"]
