"""A web server that names what pictures show, by an exported net.

It needs the extra packages of `pip install 'deeprect_gluon[serve]'`; `scripts/serve.py` starts it,
docs/deploy.md describes it.
"""

from .app import Limits, create_app
from .batching import Batcher, Busy
from .classifier import Classifier, UnknownFormat
from .server import configure, run

__all__ = [
    "Batcher",
    "Busy",
    "Classifier",
    "Limits",
    "UnknownFormat",
    "configure",
    "create_app",
    "run",
]
