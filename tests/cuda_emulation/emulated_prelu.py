"""Builds src/prelu/gpu.cu for the CPU, with the emulation in this folder, and runs its kernels.

`python emulated_prelu.py LIBRARY` checks such a build over the whole matrix of cases; the tests run
it so under AddressSanitizer, which has to be in the process from its start.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src"
FLAGS = "-std=c++17 -fPIC -shared -ffp-contract=off -Wall -Wextra -Werror -Wno-unknown-pragmas"
SANITIZE = ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ORDERS = {"ascending": 0, "descending": 1, "shuffled": 2}
# DType of src/base/dtype.h.
DTYPES = {np.dtype("float32"): 0, np.dtype("float64"): 1, np.dtype("float16"): 2}
# Types of data and slopes.
TYPES = [(t, t) for t in ("float32", "float64", "float16")] + [("float16", "float32")]
# outer x channels x inner. Columns are summed below an inner size of 32, runs from there on.
EXTENTS = [
    *[(0, 3, 5), (3, 0, 4), (2, 3, 0), (0, 2, 50)],  # empty
    *[(1, 1, 1), (1, 1, 7), (1, 1, 1000), (1, 1, 70001)],  # one slope for all
    *[(4, 3, 1), (37, 64, 1), (128, 40, 1), (5000, 2, 1), (1, 5000, 1), (40000, 1, 1)],  # last axis
    *[(5, 3, 7), (9, 1, 9), (2, 300, 31)],  # short runs
    *[(3, 17, 49), (2, 5, 196), (1, 300, 33)],  # runs
    *[(2, 3, 1003), (20, 2, 3000), (1, 2, 9001)],  # long runs
]
# Elements by which dy, x and the result stand off a 16-byte boundary.
OFFSETS = [(0, 0, 0), (1, 1, 1), (0, 1, 3)]


def build(
    target: Path,
    *flags: str,
    sources: Sequence[Path] = (),
    planted: tuple[str, str] | None = None,
) -> Path:
    """Compile the kernels, and other sources, into a shared library.

    `planted` is a text of the kernels' source and what to put in its place.
    """
    folders = [SOURCES]
    if planted:
        old, new = planted
        copies = target.with_suffix("")
        (copies / "prelu").mkdir(parents=True)
        names = ("prelu/gpu.cu", "prelu/frames.cuh")
        texts = {name: (SOURCES / name).read_text() for name in names}
        assert sum(text.count(old) for text in texts.values()) == 1, f"not once there: {old}"
        for name, text in texts.items():
            (copies / name).write_text(text.replace(old, new))
        folders.insert(0, copies)
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    command = [*compiler, *FLAGS.split(), *flags, f"-I{HERE}", *(f"-I{f}" for f in folders)]
    command += ["-x", "c++", str(folders[0] / "prelu/gpu.cu")]
    command += ["-x", "none", str(HERE / "emulation.cc")]
    command += [*map(str, sources), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def placed(values: np.ndarray, offset: int) -> np.ndarray:
    """Copy values to memory that starts `offset` elements off a 16-byte boundary.

    It ends with the last value, where AddressSanitizer puts its guard.
    """
    buffer = np.empty(offset + values.size, values.dtype)
    assert buffer.ctypes.data % 16 == 0
    buffer[offset:] = values.ravel()
    return buffer[offset:].reshape(values.shape)


class EmulatedPReLU:
    """The launchers of src/prelu/gpu.h, on NumPy arrays of shape (outer, channels, inner)."""

    def __init__(self, library: Path):
        self._library = ctypes.CDLL(str(library))
        for name in ("emulated_forward", "emulated_backward"):
            getattr(self._library, name).restype = ctypes.c_char_p
        self.configure()

    def configure(self, order: str = "ascending", most_blocks: int = 2**31, only_block: int = -1):
        self._library.emulation_configure(
            ORDERS[order], ctypes.c_uint(most_blocks), ctypes.c_int64(only_block)
        )

    def fail_next_launch(self, error: int):
        self._library.emulation_fail_next_launch(error)

    def _call(self, name, extents, data, alpha, results):
        def pointer(array):
            return ctypes.c_void_p(array.ctypes.data)

        message = getattr(self._library, name)(
            (ctypes.c_int64 * 3)(*extents),
            DTYPES[data[0].dtype],
            *map(pointer, data),
            DTYPES[alpha.dtype],
            pointer(alpha),
            *map(pointer, results),
        )
        if message is not None:
            raise RuntimeError(message.decode())

    def forward(self, x: np.ndarray, alpha: np.ndarray, y: np.ndarray):
        self._call("emulated_forward", x.shape, [x], alpha, [y])

    def backward(self, dy, x, alpha, dx, grad_alpha):
        self._call("emulated_backward", x.shape, [dy, x], alpha, [dx, grad_alpha])


class Case(NamedTuple):
    extents: tuple[int, int, int]
    types: tuple[str, str]
    offsets: tuple[int, int, int] = (0, 0, 0)

    def inputs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return dy, x and alpha; every seventh x is a zero, of either sign."""
        random = np.random.default_rng(sum(self.extents))
        dy, x = random.normal(size=(2, *self.extents)).astype(self.types[0])
        x.flat[::7] *= 0
        alpha = random.normal(size=self.extents[1]).astype(self.types[1])
        return placed(dy, self.offsets[0]), placed(x, self.offsets[1]), alpha

    def run(self, kernels: EmulatedPReLU) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return y, dx and grad_alpha; the places that no kernel wrote are NaN."""
        dy, x, alpha = self.inputs()
        y, dx = (placed(np.full_like(x, np.nan), self.offsets[2]) for _ in range(2))
        grad_alpha = np.full_like(alpha, np.nan)
        kernels.forward(x, alpha, y)
        kernels.backward(dy, x, alpha, dx, grad_alpha)
        return y, dx, grad_alpha


def cases() -> Iterator[Case]:
    return itertools.starmap(Case, itertools.product(EXTENTS, TYPES, OFFSETS))


def check(case: Case, results: tuple[np.ndarray, np.ndarray, np.ndarray]):
    """Compare with the formulas evaluated in long double.

    y and dx are rounded at most twice (to float32, then to float16). The sum of docs/cuda.md: one
    rounding of the result and, of the sum of the terms' magnitudes, 2**-40; for float64 2**-60,
    which is the reference's own error.
    """
    dy, x, alpha = (array.astype(np.longdouble) for array in case.inputs())
    a = alpha[:, None]
    positive = x > 0
    terms = np.where(positive, 0, dy * x)
    y, dx, grad_alpha = results
    data_type, alpha_type = map(np.dtype, case.types)
    for actual, expected in (
        (y, np.where(positive, x, a * x)),
        (dx, np.where(positive, dy, a * dy)),
    ):
        ulp = np.spacing(np.abs(expected).astype(data_type)).astype(np.longdouble)
        np.testing.assert_array_less(np.abs(actual - expected), 0.51 * ulp, err_msg=str(case))
    exact = terms.sum((0, 2))
    slack = 2.0 ** (-60 if data_type == np.float64 else -40) * np.abs(terms).sum((0, 2))
    ulp = np.spacing(np.abs(exact).astype(alpha_type)).astype(np.longdouble)
    error = np.abs(grad_alpha - exact)
    np.testing.assert_array_less(error, 0.51 * ulp + slack, err_msg=str(case))


def check_in_all_orders(kernels: EmulatedPReLU, case: Case):
    """Check one case, and that neither the order of threads nor the grid changes a bit."""
    kernels.configure("ascending")
    expected = case.run(kernels)
    check(case, expected)
    for order, most_blocks in (("descending", 3), ("shuffled", 2**31)):
        kernels.configure(order, most_blocks)
        for a, b in zip(case.run(kernels), expected):
            assert a.tobytes() == b.tobytes(), f"{case}: {order} order, {most_blocks} blocks"


if __name__ == "__main__":
    kernels = EmulatedPReLU(Path(sys.argv[1]))
    count = 0
    kernels.configure("shuffled", most_blocks=3)
    for case in cases():
        check(case, case.run(kernels))
        count += 1
    print(count, "cases")
