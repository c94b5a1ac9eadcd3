"""Training: the same loop for one process and for many Horovod ranks."""

from .checkpoint import Checkpoints
from .config import TrainConfig
from .distributed import Workers
from .history import History, Run
from .loop import Stopped, fit, train
from .metrics import evaluate

__all__ = [
    "Checkpoints",
    "History",
    "Run",
    "Stopped",
    "TrainConfig",
    "Workers",
    "evaluate",
    "fit",
    "train",
]
