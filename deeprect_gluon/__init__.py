"""Delving Deep into Rectifiers (He, Zhang, Ren & Sun 2015) for Apache MXNet/Gluon."""

from . import library
from .version import __version__

library.prepare_environment()
library.load()

from . import initializer, models, nn  # noqa: E402
from .operators import prelu  # noqa: E402

__all__ = ["__version__", "initializer", "models", "nn", "prelu"]
