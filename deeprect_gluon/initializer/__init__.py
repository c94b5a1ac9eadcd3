"""The initialisation of He et al. 2015, section 2.2, and the analysis behind it."""

from .msra import MSRA
from .slopes import initialize, paper_initializer, rectifier_slopes
from .variance import LayerVariance, VarianceReport, variance_report

__all__ = [
    "MSRA",
    "LayerVariance",
    "VarianceReport",
    "initialize",
    "paper_initializer",
    "rectifier_slopes",
    "variance_report",
]
