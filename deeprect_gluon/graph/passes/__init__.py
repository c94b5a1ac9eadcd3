"""Passes: functions from graph to graph."""

from .affine import fold_affine
from .fuse import fuse, replace_prelu, why_not
from .half import halve_weights
from .simplify import constant_slopes, fold_constants, simplify

__all__ = [
    "constant_slopes",
    "fold_affine",
    "fold_constants",
    "fuse",
    "halve_weights",
    "replace_prelu",
    "simplify",
    "why_not",
]
