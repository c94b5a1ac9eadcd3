"""Loads the operator library into MXNet, once for each process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from .version import __version__

PATH = Path(__file__).with_name("libdeeprect.so")


def _physical_cores() -> int:
    """Cores this process may run on, hyper-threads counted once."""
    allowed = os.sched_getaffinity(0)
    siblings = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        siblings.add(topology.read_text() if topology.exists() else str(cpu))
    return len(siblings)


def prepare_environment() -> None:
    """Set what MXNet reads from the environment; to be called before MXNet is imported.

    MXNet takes half of the logical processors for its OpenMP threads, which on a machine without
    hyper-threading is half of the cores; `OMP_NUM_THREADS`, where the user has set it, stays.

    MXNet sums the gradients of a tensor with eight or more consumers by asking each consumer's
    backward to add to its output, a request that it never hands to an external operator; with the
    cap raised it sums by its own operator.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(_physical_cores()))
    os.environ["MXNET_EXEC_INPLACE_GRAD_SUM_CAP"] = "100000000"


def load() -> ctypes.CDLL:
    """Register the operators with MXNet and return the library.

    Raises
    ------
    ImportError
        If the library was not built, or was built from another version of this package.
    """
    import mxnet as mx

    if not PATH.exists():
        raise ImportError(
            f"the operator library {PATH} is missing; build it with 'pip install .' in the "
            "project's folder, or with 'python setup.py build_ext --inplace'"
        )
    library = ctypes.CDLL(str(PATH))
    library.deeprect_version.restype = ctypes.c_char_p
    library.deeprect_cpu_isa.restype = ctypes.c_char_p
    built = library.deeprect_version().decode()
    if built != __version__:
        raise ImportError(
            f"the operator library {PATH} is of version {built}, the package of {__version__}; "
            "build it again with 'pip install .'"
        )
    # An operator can be registered only once in a process, and this module is imported only once.
    mx.library.load(str(PATH), verbose=False)
    return library


def isa() -> str:
    """Return the instruction set of the CPU kernels: baseline, avx2 or avx512."""
    library = ctypes.CDLL(str(PATH))
    library.deeprect_cpu_isa.restype = ctypes.c_char_p
    return library.deeprect_cpu_isa().decode()
