"""Train nets, in one process or in many Horovod ranks."""

from .checkpoint import Checkpoints
from .config import Recipe, TrainConfig
from .distributed import Workers
from .history import History, Run
from .loop import Task, fit, train
from .metrics import evaluate

__all__ = [
    "Checkpoints",
    "History",
    "Recipe",
    "Run",
    "Task",
    "TrainConfig",
    "Workers",
    "evaluate",
    "fit",
    "train",
]
