"""What MXNet 1.9.1 lacks on a current Python and NumPy, and how its modules get it.

A module of MXNet runs with builtins of its own. In them `__import__` returns a NumPy that still has
the removed names. Where MXNet turns the parameters of its operators into text, `str` writes NumPy's
scalars as NumPy 1 did. Some modules also need a change of their source, or of what they define.
"""

from __future__ import annotations

import builtins
import ctypes
import functools
import re
import sys
import types
import warnings
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import Any, Callable

import numpy


def needed() -> bool:
    """Return whether MXNet needs these patches on this Python with this NumPy."""
    major_minor = tuple(map(int, numpy.__version__.split(".")[:2]))
    return sys.version_info >= (3, 12) or major_minor >= (1, 24)


def patch(spec: ModuleSpec | None) -> ModuleSpec | None:
    """Let the module of a spec be loaded with the patches, if it is a Python source file."""
    if spec is not None and isinstance(spec.loader, SourceFileLoader):
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
    return spec


class _Loader(SourceFileLoader):
    """Load a module of MXNet with the builtins and the source that it needs."""

    def exec_module(self, module: types.ModuleType) -> None:
        writes_text = module.__name__ in _WRITING_TEXT
        vars(module)["__builtins__"] = {**_BUILTINS, "str": _Text} if writes_text else _BUILTINS
        super().exec_module(module)
        if module.__name__ in _REPAIRS:
            _REPAIRS[module.__name__](module)

    def get_code(self, fullname: str) -> types.CodeType | None:
        if fullname not in _CHANGES:
            return super().get_code(fullname)
        source = re.sub(*_CHANGES[fullname], self.get_data(self.path).decode(), flags=re.MULTILINE)
        return self.source_to_code(source.encode(), self.path)  # not the text that Python cached

    def source_to_code(  # type: ignore[override]
        self, data: Any, path: Any, **options: Any
    ) -> types.CodeType:
        with warnings.catch_warnings():
            # Python 3.12 warns of escapes such as "\d" in MXNet's texts, which users cannot mend.
            warnings.simplefilter("ignore", SyntaxWarning)
            return super().source_to_code(data, path, **options)


_WRITING_TEXT = {
    "mxnet._ctypes.ndarray",
    "mxnet._ctypes.symbol",
    "mxnet.io.io",
    "mxnet.kvstore.base",
    "mxnet.symbol.symbol",
}
_CHANGES = {
    # NumPy 2.3 removed ndarray.tostring.
    "mxnet.recordio": (r"\.tostring\(\)", ".tobytes()"),
    # In NumPy 2 a sum that begins with Python's 0.0 has the type of what is added: float32.
    "mxnet.metric": (r"= 0\.0?$", "= numpy.float64(0)"),
}


def _copy_with(module: types.ModuleType, names: dict[str, Any]) -> types.ModuleType:
    """Return a copy of a module with more names; the module itself does not change."""

    class Copy(types.ModuleType):
        def __getattr__(self, name: str) -> Any:  # what the module loads late, and its errors
            return getattr(module, name)

    copy = Copy(module.__name__)
    vars(copy).update({**vars(module), **names})
    return copy


@functools.lru_cache(maxsize=None)
def _numpy() -> types.ModuleType:
    """Return a NumPy that has the names that MXNet uses and NumPy removed."""
    removed = {name: value for name, value in _old_names().items() if name not in vars(numpy)}
    if hasattr(numpy.lib, "array_utils"):  # where NumPy 2 keeps what MXNet takes from numpy.core
        removed["core"] = types.SimpleNamespace(numeric=numpy.lib.array_utils)
    return _copy_with(numpy, removed)


def _old_names() -> dict[str, Any]:
    names = {
        "bool": numpy.bool_,
        "int": int,
        "float": float,
        "PZERO": 0.0,
        "NZERO": -0.0,
        "PINF": numpy.inf,
        "NINF": -numpy.inf,
        "Inf": numpy.inf,
        "NAN": numpy.nan,
        "NaN": numpy.nan,
        "alltrue": numpy.all,
        "sometrue": numpy.any,
        "product": numpy.prod,
        "round_": numpy.round,
        "trapz": getattr(numpy, "trapezoid", None),
        "in1d": lambda *args, **options: numpy.isin(*args, **options).reshape(-1),
        "msort": lambda a: numpy.sort(a, axis=0),
        "compat": types.SimpleNamespace(basestring=str),
    }
    financial = ("mirr", "npv", "pmt", "ppmt", "pv", "rate")
    return {**names, **{name: _financial(name) for name in financial}}


def _financial(name: str) -> Callable[..., Any]:
    def function(*args: Any, **options: Any) -> Any:
        raise NotImplementedError(f"NumPy 1.20 removed numpy.{name}; use numpy_financial.{name}")

    return function


@functools.lru_cache(maxsize=None)
def _distutils_version() -> types.ModuleType:
    """Return the module that Python 3.12 removed, as far as MXNet compares NumPy's version."""

    class Version(tuple):
        def __new__(cls, text: str) -> Version:
            return super().__new__(cls, map(int, re.findall(r"\d+", text)[:3]))

    module = types.ModuleType("distutils.version")
    vars(module).update(LooseVersion=Version, StrictVersion=Version)
    return module


def _import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> types.ModuleType:
    if level == 0 and name == "numpy":
        return _numpy()
    if level == 0 and name == "distutils.version" and fromlist:
        return _distutils_version()
    return builtins.__import__(name, globals, locals, fromlist, level)


class _TextType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, str)


class _Text(metaclass=_TextType):
    """`str`, except that NumPy's scalars in lists and tuples read as before NumPy 2: (8, 4).

    MXNet hands the parameters of its operators to its C++ library as text.
    """

    def __new__(cls, *args: Any) -> str:  # type: ignore[misc]
        return str(*map(_plain, args))


def _plain(value: Any) -> Any:
    if type(value) in (tuple, list):
        return type(value)(v.item() if isinstance(v, numpy.generic) else _plain(v) for v in value)
    return value


_BUILTINS = {**vars(builtins), "__import__": _import}


def _keep_deleter(module: types.ModuleType) -> None:
    """Keep the function that frees arrays of `from_numpy` until the process ends.

    From Python 3.12 on, it is gone before the last of these arrays, and Python then crashes while
    it ends. The new one holds all that it calls: the names of its module are gone by then too.
    """
    cast, py_object, forget = ctypes.cast, ctypes.py_object, ctypes.pythonapi.Py_DecRef

    @module.DeleterFunc
    def deleter(tensor: Any) -> None:
        forget(cast(tensor.contents.manager_ctx, py_object))

    vars(module)["dl_managed_tensor_deleter"] = deleter
    ctypes.pythonapi.Py_IncRef(py_object(deleter))


def _take_arrays_of_one(module: types.ModuleType) -> None:
    """Let `c_array` take arrays of one value as numbers, which NumPy 2.5 no longer does."""
    c_array = module.c_array

    def convert(ctype: type, values: Any) -> Any:
        return c_array(ctype, [v.item() if isinstance(v, numpy.ndarray) else v for v in values])

    vars(module)["c_array"] = convert


def _take_named_tuples(module: types.ModuleType) -> None:
    """Let `mx.np` convert the named tuples that NumPy 2 returns, such as that of `linalg.qr`."""
    to_mxnet = module._as_mx_np_array

    def convert(value: Any, ctx: Any = None) -> Any:
        return to_mxnet(tuple(value) if isinstance(value, tuple) else value, ctx)

    vars(module)["_as_mx_np_array"] = convert


def _find_csr_matrix(module: types.ModuleType) -> None:
    """Give `scipy.sparse.csr.csr_matrix` without the warning that SciPy will remove it."""
    if module.spsp is not None:
        vars(module)["spsp"] = _copy_with(module.spsp, {"csr": module.spsp})


_REPAIRS: dict[str, Callable[[types.ModuleType], None]] = {
    "mxnet.base": _take_arrays_of_one,
    "mxnet.ndarray.ndarray": _keep_deleter,
    "mxnet.ndarray.sparse": _find_csr_matrix,
    "mxnet.ndarray.utils": _find_csr_matrix,
    "mxnet.numpy.multiarray": _take_named_tuples,
}
