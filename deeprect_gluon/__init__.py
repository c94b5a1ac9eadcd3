"""Delving Deep into Rectifiers (He, Zhang, Ren & Sun 2015) for Apache MXNet/Gluon."""

from . import library
from .version import __version__

library.load()

from . import amp, initializer, models, nn  # noqa: E402
from .operators import prelu  # noqa: E402

amp.register("deeprect_prelu")

__all__ = ["__version__", "initializer", "library", "models", "nn", "prelu"]
