"""The CUDA compiler's view of src/prelu/gpu.cu, and setup.py's choice of what to build."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
NVCC = shutil.which("nvcc", path=os.environ["PATH"] + ":/usr/local/cuda/bin")
needs_nvcc = pytest.mark.skipif(NVCC is None, reason="the GPU toolchain (nvcc) is not installed")


@needs_nvcc
@pytest.mark.parametrize("arch", [75, 80, 90])
def test_kernels_compile_without_spills(arch, tmp_path):
    command = [NVCC, "-std=c++17", "-O3", "-fmad=false", f"-arch=sm_{arch}", "-Xptxas=-v"]
    command += ["-Werror=all-warnings", f"-I{ROOT / 'src'}", "-cubin", "-o", str(tmp_path / "out")]
    result = subprocess.run(
        [*command, str(ROOT / "src/prelu/gpu.cu")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    # Three kernels in two widths for each of four pairs of types; the last stage knows three pairs.
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", result.stderr)
    assert spills == [("0", "0")] * (4 * 3 * 2 + 3)


@needs_nvcc
def test_vectors_move_by_16_bytes(tmp_path):
    out = tmp_path / "out.ptx"
    command = [
        NVCC,
        "-std=c++17",
        "-O3",
        "-arch=sm_80",
        f"-I{ROOT / 'src'}",
        "-ptx",
        "-o",
        str(out),
    ]
    subprocess.run([*command, str(ROOT / "src/prelu/gpu.cu")], check=True)
    ptx = out.read_text()
    # In each vectorised kernel: forward reads x, the two backwards read x and dy; each writes once.
    assert len(re.findall(r"ld\.global\.(?:nc\.)?(?:v4\.[fu]32|v2\.f64)", ptx)) == 4 * (1 + 2 + 2)
    assert len(re.findall(r"st\.global\.wb\.v4\.u32", ptx)) == 4 * 3
    assert "atom" not in ptx


@pytest.fixture
def run_setup(monkeypatch):
    """Return a function that runs setup.py in the given environment, up to the call of setup()."""

    def run(**environment):
        calls = []
        monkeypatch.setattr(setuptools, "setup", lambda **arguments: calls.append(arguments))
        monkeypatch.delenv("DEEPRECT_CUDA_ARCHS", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        functions = runpy.run_path(str(ROOT / "setup.py"))
        # On Python 3.13 and newer MXNet is installed apart, without its requirements.
        required = [
            line.partition("; python_version < '3.13'")[0] for line in calls[0]["install_requires"]
        ]
        return required, functions

    return run


def toolkit(folder, version):
    """Make a CUDA folder whose nvcc knows its version only."""
    nvcc = folder / "bin/nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(f"#!/bin/sh\necho Cuda compilation tools, release {version}, V{version}.1\n")
    nvcc.chmod(0o755)
    return str(folder)


def test_cpu_build_requires_the_cpu_wheel(run_setup):
    required, _ = run_setup(DEEPRECT_CUDA="0")
    assert "mxnet==1.9.1" in required


def test_cuda_build_requires_the_cuda_wheel(run_setup, tmp_path):
    required, _ = run_setup(DEEPRECT_CUDA="1", CUDA_HOME=toolkit(tmp_path, "11.2"))
    assert "mxnet-cu112==1.9.1" in required
    assert "mxnet==1.9.1" not in required


@pytest.mark.parametrize(("installed", "expected"), [("mxnet-cu112", True), ("mxnet", False)])
def test_default_follows_the_installed_wheel(run_setup, tmp_path, monkeypatch, installed, expected):
    wheel = tmp_path / "wheels" / f"{installed.replace('-', '_')}-1.9.1.dist-info"
    wheel.mkdir(parents=True)
    (wheel / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {installed}\nVersion: 1.9.1\n")
    monkeypatch.syspath_prepend(str(wheel.parent))
    monkeypatch.delenv("DEEPRECT_CUDA", raising=False)
    required, functions = run_setup(CUDA_HOME=toolkit(tmp_path, "11.2"))
    assert functions["with_cuda"]() is expected
    assert f"{installed}==1.9.1" in required
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "without"))
    assert functions["with_cuda"]() is False


@pytest.mark.parametrize(
    ("version", "archs", "expected"),
    [
        ("11.2", None, "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 compute_86"),
        ("12.4", None, "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90 compute_90"),
        ("13.0", None, "sm_75 sm_80 sm_90 compute_90"),
        ("13.0", "80 120", "sm_80 sm_120 compute_120"),
    ],
)
def test_architectures(run_setup, tmp_path, version, archs, expected):
    home = toolkit(tmp_path, version)
    _, functions = run_setup(CUDA_HOME=home, **({"DEEPRECT_CUDA_ARCHS": archs} if archs else {}))
    flags = functions["cuda_architectures"](f"{home}/bin/nvcc")
    assert [flag.rsplit("=", 1)[1] for flag in flags] == expected.split()


@pytest.mark.parametrize(
    ("version", "archs", "message"),
    [("10.2", "", "nvcc 10.2 is too old"), ("13.0", "sm80", "DEEPRECT_CUDA_ARCHS=sm80 is not a")],
)
def test_architectures_that_cannot_be(run_setup, tmp_path, version, archs, message):
    home = toolkit(tmp_path, version)
    _, functions = run_setup(CUDA_HOME=home, DEEPRECT_CUDA_ARCHS=archs)
    with pytest.raises(SystemExit, match=message):
        functions["cuda_architectures"](f"{home}/bin/nvcc")


@pytest.mark.parametrize(
    ("value", "message"),
    [("1", "DEEPRECT_CUDA=1, but there is no nvcc"), ("yes", "DEEPRECT_CUDA=yes has no meaning")],
)
def test_builds_that_cannot_be(run_setup, tmp_path, value, message):
    with pytest.raises(SystemExit, match=f"deeprect_gluon cannot be built: {message}"):
        run_setup(DEEPRECT_CUDA=value, CUDA_HOME=str(tmp_path))
