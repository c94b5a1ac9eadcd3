"""Load the operator library into MXNet, once for each process, and change its settings."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

from .errors import whole
from .version import __version__

PATH = Path(__file__).with_name("libdeeprect.so")

_library: ctypes.CDLL | None = None
_threads = 0

# The operators, and whether they compute in float16. None of them computes in bfloat16.
_OPERATORS = {
    "deeprect_prelu": True,
    "deeprect_conv_prelu": False,
    "deeprect_dense": False,
    "deeprect_max_pool": False,
}


def physical_cores() -> int:
    """Return the number of cores this process may run on; hyper-threads do not count."""
    allowed = os.sched_getaffinity(0)
    siblings = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        siblings.add(topology.read_text() if topology.exists() else str(cpu))
    return len(siblings)


def default_threads() -> int:
    """Return this process's share of the cores: Horovod's ranks on a host divide them."""
    return max(1, physical_cores() // int(os.environ.get("HOROVOD_LOCAL_SIZE", 1)))


@contextlib.contextmanager
def _defaults(**variables: str) -> Iterator[None]:
    """Set variables of the environment that the user has not set, within this context only."""
    added = variables.keys() - os.environ.keys()
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def load() -> None:
    """Let MXNet read its settings, and register the operators with MXNet.

    The settings stand in the environment only while MXNet reads them, so that child processes do
    not inherit them. What the user has set stays as it is.

    By default MXNet uses half of the logical processors for its OpenMP threads; on a machine
    without hyper-threading that is half of the cores. Unless the user has set `OMP_NUM_THREADS`, it
    uses `default_threads()`. MXNet reads that while it is imported. If MXNet was imported before,
    our operators set the threads of its engine (see `set_threads`).

    MXNet sums the gradients of a tensor with eight or more consumers by asking each consumer's
    backward to add to its output, and never tells an external operator that it asks for this. With
    `MXNET_EXEC_INPLACE_GRAD_SUM_CAP` raised, MXNet sums by its own operator. MXNet reads that when
    it differentiates its first graph.

    Raises
    ------
    ImportError
        If MXNet is not installed, if the library was not built or was built from another version
        of this package, or if `DEEPRECT_ISA` names an instruction set that this processor or build
        does not have.

    Warns
    -----
    RuntimeWarning
        If MXNet has already differentiated a graph, and so has read its environment too early; or
        if the user has set `MXNET_EXEC_INPLACE_GRAD_SUM_CAP` too low.
    """
    global _library, _threads
    threads_are_ours = "OMP_NUM_THREADS" not in os.environ
    mxnet_was_first = "mxnet" in sys.modules
    cap = "MXNET_EXEC_INPLACE_GRAD_SUM_CAP"
    sums_may_be_wrong = mxnet_was_first or cap in os.environ
    with _defaults(OMP_NUM_THREADS=str(default_threads()), **{cap: "100000000"}):
        try:
            import mxnet as mx
        except ModuleNotFoundError as error:
            if error.name != "mxnet":
                raise
            raise ImportError(
                "MXNet is not installed; install it with 'pip install --no-deps mxnet==1.9.1'"
            ) from error
        _threads = int(os.environ["OMP_NUM_THREADS"].split(",")[0])
        x = mx.sym.var("x")
        mx.nd.CachedOp(x + x)  # MXNet differentiates it at once
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
    if library.deeprect_cpu_isa() is None:
        raise ImportError(
            f"DEEPRECT_ISA={os.environ['DEEPRECT_ISA']}: this processor or build has no such "
            "instruction set; unset it, or set baseline, avx2 or avx512"
        )
    _library = library
    # An operator can be registered only once in a process, and this module is imported only once.
    mx.library.load(str(PATH), verbose=False)
    _register_for_amp()
    if mxnet_was_first and threads_are_ours:
        set_threads(_threads)
    if sums_may_be_wrong:
        _check_gradient_sums(mx)


def _register_for_amp() -> None:
    """Enter the operators in the lists of MXNet's automatic mixed precision.

    MXNet casts the inputs of an operator in `FP32_FUNCS` to float32. An operator in
    `FP16_FP32_FUNCS` runs in the type of its inputs.
    """
    from mxnet.contrib.amp.lists import symbol_bf16, symbol_fp16

    for operator, half in _OPERATORS.items():
        (symbol_fp16.FP16_FP32_FUNCS if half else symbol_fp16.FP32_FUNCS).append(operator)
        symbol_bf16.FP32_FUNCS.append(operator)


def _check_gradient_sums(mx: Any) -> None:
    """Warn if MXNet adds up the gradients of eight consumers inside our operators' outputs."""
    data, alpha = mx.sym.Variable("data", shape=(1,)), mx.sym.Variable("alpha", shape=(1,))
    consumers = [mx.sym.deeprect_prelu(data, alpha, axis=0) for _ in range(8)]
    graph = mx.nd.CachedOp(mx.sym.add_n(*consumers), [("static_alloc", True)])
    slope = mx.nd.ones((1,))
    slope.attach_grad()
    with mx.autograd.record():
        y = graph(mx.nd.full((1,), -1), slope)
    y.backward()
    if slope.grad.asscalar() != -8:
        warnings.warn(
            "MXNet had built a graph before deeprect_gluon was imported, or its setting "
            "MXNET_EXEC_INPLACE_GRAD_SUM_CAP is low: the gradient of a tensor that eight or more "
            "PReLUs read will be wrong in static graphs; import deeprect_gluon first, or set "
            "MXNET_EXEC_INPLACE_GRAD_SUM_CAP=100000000 in the environment",
            RuntimeWarning,
            stacklevel=4,
        )


def _loaded() -> ctypes.CDLL:
    if _library is None:
        raise RuntimeError("the operator library is not loaded; call deeprect_gluon.native.load()")
    return _library


def function(name: str, argument_types: Sequence[Any]) -> Callable[..., None]:
    """Return a function of the operator library that returns nothing.

    Parameters
    ----------
    name : str
    argument_types : sequence of ctypes types
    """
    found = _loaded()[name]
    found.argtypes, found.restype = argument_types, None
    return found


def isa() -> str:
    """Return the instruction set of the CPU kernels: baseline, avx2 or avx512.

    It is the widest that the processor has, unless the environment's `DEEPRECT_ISA` named another
    when the package was imported. Results of `prelu` do not depend on it.
    """
    return _loaded().deeprect_cpu_isa().decode()


def threads() -> int:
    """Return the number of threads that `set_threads` set, or else the environment or `load`."""
    return _threads


def set_threads(count: int) -> None:
    """Set the number of OpenMP threads of MXNet's engine, from the next call of an operator on.

    The number holds for the operators of this package, and for those of MXNet that run in the same
    engine thread afterwards; results of ours do not depend on it. MXNet's own element-wise
    operators stay below the limit that MXNet set for them while it was imported.

    Parameters
    ----------
    count : int
        From 1 to 1024.

    Raises
    ------
    ValueError
        If it is another number. Where the system cannot start a thread, OpenMP ends the process.
    """
    global _threads
    count = whole("count", count, 1, 1024)
    _loaded().deeprect_set_threads(count)
    _threads = count


def keep_memory() -> bool:
    """Let the C library keep the memory that MXNet frees, for the next array.

    MXNet has no memory pool on the CPU: by default every large array is mapped anew, and filling
    its pages with zeros takes several times as long as a PReLU (docs/operator.md). Call this at the
    start of a training or serving script, before MXNet has run anything. It changes the whole
    process; therefore scripts call it, and the package does not.

    Returns
    -------
    bool
        False if the C library is not glibc, and so nothing was changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # the names in malloc.h, with M_ before them
    # Never return the top of the heap to the system; never map an array on its own; and use one
    # heap for all threads, since the heap of a thread is unmapped as soon as it is empty.
    return bool(mallopt(trim_threshold, -1) and mallopt(mmap_max, 0) and mallopt(arena_max, 1))
