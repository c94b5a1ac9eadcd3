"""The networks of He et al. 2015: `get_model("deeprect_a")` and its relatives."""

from .config import Config, model_names
from .counting import Summary, summary
from .network import DeepRect, get_model

__all__ = ["Config", "DeepRect", "Summary", "get_model", "model_names", "summary"]
