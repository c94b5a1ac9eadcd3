"""Delving Deep into Rectifiers (He, Zhang, Ren & Sun 2015) for Apache MXNet/Gluon."""

from . import native
from .version import __version__

native.load()

from . import initializer, models, nn, optimizer  # noqa: E402
from .acceleration import accelerate  # noqa: E402
from .operators import conv_prelu, dense, max_pool, prelu  # noqa: E402

__all__ = [
    "__version__",
    "accelerate",
    "conv_prelu",
    "dense",
    "initializer",
    "max_pool",
    "models",
    "native",
    "nn",
    "optimizer",
    "prelu",
]
