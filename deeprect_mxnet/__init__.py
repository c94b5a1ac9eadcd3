"""Run MXNet 1.9.1 on a current Python and NumPy.

MXNet uses names that NumPy 1.24 to 2.x and Python 3.12 removed. This package gives them to MXNet's
own modules when those are imported, and to nobody else: `numpy` and `sys.modules` stay as they are.
It must be imported before MXNet. Installing the project puts a file `deeprect_mxnet.pth` beside it,
by which every Python process imports it at its start.

On Python below 3.12 with NumPy below 1.24 it changes nothing.
"""

import sys
from importlib.machinery import PathFinder


class _Finder:
    """Find the modules of MXNet and GluonCV, and let `patches` load them."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in ("mxnet", "gluoncv"):
            return None
        try:
            # Imported here: it imports NumPy, and this package is imported by every Python process.
            from . import patches
        except ModuleNotFoundError as error:
            if error.name != "numpy":
                raise
            return None  # MXNet itself says then that NumPy is missing
        return patches.patch(PathFinder.find_spec(name, path, target)) if patches.needed() else None


if "mxnet" not in sys.modules:
    sys.meta_path.insert(0, _Finder)
