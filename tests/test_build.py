"""The build: one clear sentence for what is missing, and one version in package and library."""

import importlib.util
import os
import runpy
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import setuptools

import deeprect_gluon

ROOT = Path(__file__).parents[1]


def build(tmp_path, *flags, **environment):
    """Run setup.py with nothing on the path but setuptools; return its exit status and output."""
    site = tmp_path / "site"
    site.mkdir()
    for package in ("setuptools", "pkg_resources", "_distutils_hack", "wheel"):
        (site / package).symlink_to(Path(sysconfig.get_path("purelib")) / package)
    for name in environment.pop("packages", ()):
        (site / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    command = [sys.executable, "-S", "setup.py", "-q", "build_ext", *flags]
    command += ["--build-temp", str(tmp_path / "temp"), "--build-lib", str(tmp_path / "lib")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site), **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def last_line(output):
    return output.strip().splitlines()[-1]


def test_missing_mxnet_is_one_sentence(tmp_path):
    status, output = build(tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert status == 1
    assert last_line(output) == (
        "deeprect_gluon cannot be built: MXNet is not installed, and pip could not download it; "
        "run 'pip install --no-deps mxnet==1.9.1' first, and build with --no-build-isolation."
    )


def test_without_mxnet_its_two_files_come_from_its_wheel(tmp_path, monkeypatch):
    """A folder of wheels serves real pip in place of an index."""
    package = Path(importlib.util.find_spec("mxnet").origin).parent
    files = ["include/mxnet/lib_api.h", "src/lib_api.cc"]
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "mxnet-1.9.1-py3-none-any.whl", "w") as wheel:
        for name in files:
            wheel.write(package / name, f"mxnet/{name}")
        metadata = "Metadata-Version: 2.1\nName: mxnet\nVersion: 1.9.1\n"
        wheel.writestr("mxnet-1.9.1.dist-info/METADATA", metadata)
        wheel.writestr("mxnet-1.9.1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: None)  # not to build anything
    find_mxnet = runpy.run_path(str(ROOT / "setup.py"))["find_mxnet"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    found = find_mxnet(tmp_path / "build")
    for name in files:
        assert (found / name).read_bytes() == (package / name).read_bytes()


@pytest.mark.parametrize("compiler", ["no-such-compiler", "no-such-compiler -O1"])
def test_missing_compiler_is_one_sentence(tmp_path, compiler):
    status, output = build(tmp_path, packages=["mxnet"], CXX=compiler)
    assert status == 1
    assert "no C++ compiler found (looked for no-such-compiler" in last_line(output)


def test_no_compiler_at_all_is_one_sentence(tmp_path):
    status, output = build(tmp_path, packages=["mxnet"], PATH=str(tmp_path))
    assert status == 1
    assert "(looked for g++ and clang++); install one" in last_line(output)


def test_wrong_python_is_one_sentence():
    """setup.py itself runs under any Python 3; here it is told that it runs under another."""
    program = (
        "import platform, sys; from setuptools.command import bdist_wheel, build_ext, build_py;"
        "sys.version_info = (3, 15, 1);"
        "platform.python_version = lambda: '3.15.1';"
        "sys.argv = ['setup.py', '--version']; exec(open('setup.py').read(), {'__file__': '.'})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert last_line(done.stderr) == (
        "deeprect_gluon cannot be built: Python 3.15.1 was not tried with MXNet 1.9.1; "
        "use 3.8 to 3.14."
    )


def test_library_of_another_version_is_refused():
    """A package whose version moved on, beside the library built before."""
    folder = str(Path(deeprect_gluon.__file__).parent)
    program = (
        "import sys, types; package = types.ModuleType('deeprect_gluon');"
        f"package.__path__ = [{folder!r}]; sys.modules['deeprect_gluon'] = package;"
        "import deeprect_gluon.version as version; version.__version__ = '99.0';"
        "import deeprect_gluon.native as native; native.load()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is of version" in last_line(done.stderr)
    assert "the package of 99.0; build it again" in last_line(done.stderr)
