"""Run src/prelu/gpu.cu on the CPU, by the cuda_runtime.h in this folder."""

from __future__ import annotations

import math
import mmap
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest
from emulated_prelu import (
    EXTENTS,
    HERE,
    OFFSETS,
    SANITIZE,
    TYPES,
    Case,
    EmulatedPReLU,
    build,
    cases,
    check,
    check_in_all_orders,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import deeprect_gluon

pytestmark = pytest.mark.slow

# Faults to plant into a copy of the source; a test finds each of them.
MISSING_BARRIERS = {
    "between write and read": (
        "{\n    __syncthreads();\n    if (rank < half)",
        "{\n    if (rank < half)",
    ),
    "before the next write": ("  __syncthreads();  // the last call's readers are done\n", ""),
}
DIVERGENT_BARRIER = (
    "    add_up(sum, 1, cut.team);",
    "    if (item < items) add_up(sum, 1, cut.team);",
)
INDEX_OUT_OF_RANGE = ("return begin == 0 && end == kWidth;", "return begin == 0;")
BUILDS = {
    "plain": (["-O1"], None),
    "sanitized": (["-O1", *SANITIZE], None),
    "index": (["-O0", *SANITIZE], INDEX_OUT_OF_RANGE),
    "divergent": (["-O0"], DIVERGENT_BARRIER),
    **{name: (["-O0"], fault) for name, fault in MISSING_BARRIERS.items()},
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulated")

    def make(name):
        flags, planted = BUILDS[name]
        return build(folder / f"{name.replace(' ', '_')}.so", *flags, planted=planted)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(BUILDS, pool.map(make, BUILDS)))


@pytest.fixture(scope="module")
def loaded(libraries):
    return EmulatedPReLU(libraries["plain"])


@pytest.fixture
def kernels(loaded):
    loaded.configure()
    return loaded


@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize("extents", EXTENTS, ids=str)
def test_agrees_with_long_double_in_any_order_and_grid(kernels, extents, types):
    for offsets in OFFSETS:
        check_in_all_orders(kernels, Case(extents, types, offsets))


@settings(max_examples=60, deadline=None)
@given(
    extents=st.tuples(st.integers(0, 40), st.integers(1, 50), st.integers(0, 80)),
    types=st.sampled_from(TYPES),
    offsets=st.tuples(*[st.integers(0, 3)] * 3) | st.integers(0, 7).map(lambda k: (k, k, k)),
)
def test_agrees_for_random_extents(loaded, extents, types, offsets):
    check_in_all_orders(loaded, Case(extents, types, offsets))


@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize("extents", [e for e in EXTENTS if np.prod(e)], ids=str)
def test_agrees_with_the_cpu_operator(kernels, extents, types):
    case = Case(extents, types)
    y, dx, grad_alpha = case.run(kernels)
    dy, x, alpha = (mx.nd.array(array, dtype=array.dtype) for array in case.inputs())
    x.attach_grad()
    alpha.attach_grad()
    with mx.autograd.record():
        cpu_y = deeprect_gluon.prelu(x, alpha)
    cpu_y.backward(dy)
    assert cpu_y.asnumpy().tobytes() == y.tobytes()
    assert x.grad.asnumpy().tobytes() == dx.tobytes()
    # The CPU rounds the products of float64.
    magnitude = np.abs(dy.asnumpy() * x.asnumpy()).astype("f8").sum((0, 2))
    slack = 2.0**-53 * magnitude if types[0] == "float64" else 0
    error = np.abs(alpha.grad.asnumpy().astype("f8") - grad_alpha.astype("f8"))
    assert (error <= np.spacing(np.abs(grad_alpha)) + slack).all()


@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize("extents", [(3000, 2, 1), (50, 3, 7), (6, 2, 900), (1, 1, 50000)], ids=str)
def test_sum_of_terms_that_cancel(kernels, extents, types):
    """Add up terms of up to 2**20 to about 1: a plain float32 sum has no right digit."""
    random = np.random.default_rng(7)
    axes = (0, 2)
    big = 2.0 ** random.integers(0, 20 if types[0] != "float16" else 12, extents)
    dy = np.where(random.random(extents) < 0.5, big, -big).astype(types[0])
    x = -(1 + random.random(extents)).astype(types[0])
    half = np.prod(extents) // 2
    order = random.permutation(np.prod(extents))
    dy.flat[order[half : 2 * half]] = -dy.flat[order[:half]]
    x.flat[order[half : 2 * half]] = x.flat[order[:half]]
    alpha = np.zeros(extents[1], types[1])
    dx, grad_alpha = np.empty_like(x), np.empty_like(alpha)
    kernels.backward(dy, x, alpha, dx, grad_alpha)
    terms = dy.astype(np.longdouble) * x.astype(np.longdouble)
    for c in range(extents[1]):
        # Doubled float64 terms: high and low parts of the long double products, summed exactly.
        high = terms[:, c].astype(np.float64)
        low = (terms[:, c] - high).astype(np.float64)
        exact = math.fsum([*high.flat, *low.flat])
        magnitude = math.fsum(np.abs(high).flat)
        bits = 90 if types[0] == "float64" else 40
        ulp = float(np.spacing(np.abs(np.asarray(exact, alpha.dtype))))
        assert abs(float(grad_alpha[c]) - exact) <= 0.51 * ulp + magnitude * 2.0**-bits
    if types[0] == "float32":
        # One after the other: NumPy's own sum is pairwise, and can be right by chance.
        in_turn = np.cumsum((dy * x).swapaxes(0, 1).reshape(extents[1], -1), axis=1, dtype="f4")
        plain = np.abs(in_turn[:, -1] - terms.sum(axes))
        assert plain.max() > np.abs(grad_alpha - terms.sum(axes)).max()


def test_special_values_follow_ieee(kernels):
    values = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan])
    dy, x, a = (g.ravel() for g in np.meshgrid(values, values, values))
    for data_type, alpha_type in TYPES:
        for inner in (1, 40):  # both reductions
            shape = (1, len(x), inner)
            wide_dy, wide_x = (
                np.ascontiguousarray(np.broadcast_to(v[:, None], shape).astype(data_type))
                for v in (dy, x)
            )
            alpha = a.astype(alpha_type)
            y, dx, grad_alpha = np.empty_like(wide_x), np.empty_like(wide_x), np.empty_like(alpha)
            kernels.forward(wide_x, alpha, y)
            kernels.backward(wide_dy, wide_x, alpha, dx, grad_alpha)
            with np.errstate(invalid="ignore"):
                expected_y = np.where(x > 0, x, a * x)
                expected_dx = np.where(x > 0, dy, a * dy)
                expected_grad = np.where(x > 0, 0, dy * x) * inner
            np.testing.assert_array_equal(y[0, :, -1], expected_y)
            np.testing.assert_array_equal(np.signbit(y[0, :, 0]), np.signbit(expected_y))
            np.testing.assert_array_equal(dx[0, :, -1], expected_dx)
            np.testing.assert_array_equal(grad_alpha, expected_grad)


def far_array(size: int, dtype: str = "float16") -> np.ndarray:
    """Return zeros whose pages take memory only once written."""
    no_reserve = 0x4000  # MAP_NORESERVE, which Python's mmap does not name
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    return np.frombuffer(mmap.mmap(-1, size * np.dtype(dtype).itemsize, flags=flags), dtype)


@pytest.mark.parametrize("width", [8, 1])
@pytest.mark.parametrize("shape", [(1, 1, 2**32 + 5), (2**31 + 9, 2, 1), (2, 2**26, 33)], ids=str)
def test_indices_beyond_32_bits(kernels, shape, width):
    """Run only the block for the last elements of a tensor of more than 2**32 elements."""
    size = math.prod(shape)
    x, dy = (far_array(size).reshape(shape) for _ in range(2))
    offset = 0 if width == 8 else 1  # results aligned unlike the inputs are written one by one
    y, dx = (far_array(offset + size)[offset:].reshape(shape) for _ in range(2))
    alpha, grad_alpha = (far_array(shape[1], "float32") for _ in range(2))
    last = (-1, -1, -1)
    x[last], dy[last], alpha[-1] = -2, 3, 0.5
    kernels.configure(only_block=(math.ceil(size / width) - 1) // 256 % 2**15)
    kernels.forward(x, alpha, y)
    assert y[last] == -1
    blocks = {1: 1024, 2: 1024, 2**26: 2**23}[shape[1]]
    kernels.configure(only_block=(blocks - 1) % 2**15)
    kernels.backward(dy, x, alpha, dx, grad_alpha)
    assert dx[last] == 1.5


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (701, "did not take the kernel: too many resources requested for launch$"),
        (209, "no kernel image .* on the device; build deeprect_gluon again .*DEEPRECT_CUDA_ARCHS"),
    ],
)
def test_failed_launch_is_reported_and_forgotten(kernels, error, message):
    case = Case((2, 3, 40), ("float32", "float32"))
    kernels.fail_next_launch(error)
    with pytest.raises(RuntimeError, match=message):
        case.run(kernels)
    check(case, case.run(kernels))


def run_sanitized(library):
    """Check the whole matrix in a process that starts with the sanitizers' runtime."""
    runtime = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    environment = {**os.environ, "LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, str(HERE / "emulated_prelu.py"), str(library)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_no_sanitizer_complains(libraries):
    result = run_sanitized(libraries["sanitized"])
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{len(list(cases()))} cases\n"
    assert result.stderr == ""


def test_planted_index_out_of_range_is_caught(libraries):
    result = run_sanitized(libraries["index"])
    assert result.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in result.stderr
    assert "load<float, 4>" in result.stderr


@pytest.mark.parametrize("fault", MISSING_BARRIERS)
def test_planted_missing_barrier_is_caught(libraries, fault):
    planted = EmulatedPReLU(libraries[fault])
    with pytest.raises(AssertionError):
        check_in_all_orders(planted, Case((3, 300, 49), ("float32", "float32")))


def test_planted_divergent_barrier_is_caught(libraries):
    planted = EmulatedPReLU(libraries["divergent"])
    with pytest.raises(RuntimeError, match="divergent threads"):
        Case((3, 17, 49), ("float32", "float32")).run(planted)
