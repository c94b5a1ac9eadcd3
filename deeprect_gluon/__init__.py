"""Delving Deep into Rectifiers (He, Zhang, Ren & Sun 2015) for Apache MXNet/Gluon."""

from . import native
from .version import __version__

native.load()

from . import amp, initializer, models, nn, optimizer  # noqa: E402
from .operators import conv_prelu, dense, max_pool, prelu  # noqa: E402

amp.register("deeprect_prelu", half=True)
amp.register("deeprect_conv_prelu", half=False)
amp.register("deeprect_dense", half=False)
amp.register("deeprect_max_pool", half=False)

__all__ = [
    "__version__",
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
