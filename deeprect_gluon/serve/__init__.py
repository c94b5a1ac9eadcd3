"""A web server that classifies images with an exported net.

It needs the extra packages of `pip install 'deeprect_gluon[serve]'`; `scripts/serve.py` starts it,
docs/deploy.md describes it.
"""

try:
    import fastapi  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"serving needs the package {error.name}: pip install 'deeprect_gluon[serve]'"
    ) from error

from .app import Limits, create_app
from .batching import Batcher, BusyError
from .classifier import Classifier, UnknownFormatError
from .server import configure, run

__all__ = [
    "Batcher",
    "BusyError",
    "Classifier",
    "Limits",
    "UnknownFormatError",
    "configure",
    "create_app",
    "run",
]
