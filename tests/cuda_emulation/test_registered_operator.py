"""The GPU entries of src/prelu/op.cc, called as MXNet calls them, with the kernels emulated."""

from __future__ import annotations

import ctypes
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from emulated_prelu import DTYPES, HERE, SOURCES, TYPES, build

from deeprect_gluon import native

MXNET = Path(mx.__file__).parent


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    built = build(
        tmp_path_factory.mktemp("operator") / "operator.so",
        *("-O1", "-DDEEPRECT_WITH_CUDA"),
        *("-Wl,-Bsymbolic", "-Wno-unused-parameter", f"-isystem{MXNET / 'include'}"),
        sources=(
            *(SOURCES / "prelu/op.cc", SOURCES / "mxnet/op.cc", MXNET / "src/lib_api.cc"),
            *(HERE / "emulated_operator.cc", native.PATH),
        ),
    )
    call = ctypes.CDLL(str(built)).emulated_operator
    call.restype = ctypes.c_char_p

    def run(context, axis, shape, alpha, data_type, arrays):
        message = call(
            context.encode(),
            len(arrays) == 6,
            str(axis).encode(),
            len(shape),
            (ctypes.c_int64 * len(shape))(*shape),
            ctypes.c_int64(alpha.size),
            DTYPES[np.dtype(data_type)],
            DTYPES[alpha.dtype],
            (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays]),
        )
        if message is not None:
            raise RuntimeError(message.decode())

    return run


@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize(
    ("shape", "axis", "shared"),
    [
        ((2, 3, 8, 9), 1, False),
        ((2, 3, 8, 9), -1, False),
        ((2, 3, 8, 9), 1, True),
        ((5, 7), 1, False),
        ((300,), 0, False),
        ((0, 4, 3), 1, False),
    ],
)
def test_gpu_entries_agree_with_cpu_entries(operator, types, shape, axis, shared):
    random = np.random.default_rng(1)
    dy, x = random.normal(size=(2, *shape)).astype(types[0])
    alpha = random.normal(size=1 if shared else shape[axis]).astype(types[1])
    results = {}
    for context in ("cpu", "gpu"):
        y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
        grad_alpha = np.full_like(alpha, np.nan)
        operator(context, axis, shape, alpha, types[0], [x, alpha, y])
        operator(context, axis, shape, alpha, types[0], [dy, x, alpha, y, dx, grad_alpha])
        results[context] = y, dx, grad_alpha
    for cpu, gpu in zip(results["cpu"][:2], results["gpu"][:2]):
        assert cpu.tobytes() == gpu.tobytes()
    tolerance = 4 * np.finfo(types[1]).eps
    np.testing.assert_allclose(results["cpu"][2], results["gpu"][2], tolerance, 4 * tolerance)


def test_workspace_beyond_2_gib_is_refused(operator):
    channels = 2**29
    alpha = np.empty(channels, "float32")  # never touched: no memory behind it
    with pytest.raises(RuntimeError, match=r"workspace of 4294967296 bytes .* less than 2 GiB"):
        operator("gpu", 0, (channels,), alpha, "float32", [alpha] * 6)
