"""Delving Deep into Rectifiers (He, Zhang, Ren & Sun 2015) for Apache MXNet/Gluon."""

from . import library
from .version import __version__

library.load()

from . import amp, initializer, models, nn, optimizer  # noqa: E402
from .operators import conv_prelu, dense, prelu  # noqa: E402

amp.register("deeprect_prelu", half=True)
amp.register("deeprect_conv_prelu", half=False)
amp.register("deeprect_dense", half=False)

__all__ = [
    "__version__",
    "conv_prelu",
    "dense",
    "initializer",
    "library",
    "models",
    "nn",
    "optimizer",
    "prelu",
]
