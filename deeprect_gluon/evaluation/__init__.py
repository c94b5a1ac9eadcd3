"""Test nets as in the paper (section 4): views, dense testing, tiling and ensembles."""

from .dense import dense_probabilities
from .views import center_view, dense_view, ensemble, ten_view, top_errors

__all__ = [
    "center_view",
    "dense_probabilities",
    "dense_view",
    "ensemble",
    "ten_view",
    "top_errors",
]
