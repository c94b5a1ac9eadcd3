"""Training: the same loop for one process and for many Horovod ranks."""

from .checkpoint import Checkpoints
from .config import TrainConfig
from .distributed import Workers
from .history import History
from .loop import Stopped, fit
from .metrics import evaluate
from .program import run_program
from .run import Run

__all__ = [
    "Checkpoints",
    "History",
    "Run",
    "Stopped",
    "TrainConfig",
    "Workers",
    "evaluate",
    "fit",
    "run_program",
]
