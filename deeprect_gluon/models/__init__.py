"""The networks of He et al. 2015: `get_model("deeprect_a")` and its relatives."""

from . import imagenet
from .architectures import ARCHITECTURES
from .config import Config, model_names
from .network import DeepRect, get_model
from .registration import register_with_gluoncv
from .summary import Summary, summary
from .weights import load_weights

__all__ = [
    "ARCHITECTURES",
    "Config",
    "DeepRect",
    "Summary",
    "get_model",
    "imagenet",
    "load_weights",
    "model_names",
    "register_with_gluoncv",
    "summary",
]
