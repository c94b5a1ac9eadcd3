"""Build the wheel and the editable installation, look at their files, and import them."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.release

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]


@pytest.fixture(scope="module", params=["wheel", "editable"])
def wheel(request, tmp_path_factory):
    """Build the project in a copy, as pip does, and return the wheel."""
    folder = tmp_path_factory.mktemp(request.param)
    source, out = folder / "source", folder / "out"
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    for name in subprocess.run(listed, check=True, capture_output=True).stdout.split(b"\0")[:-1]:
        target = source / os.fsdecode(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(ROOT / os.fsdecode(name))
    hook = "build_wheel" if request.param == "wheel" else "build_editable"
    program = f"import setuptools.build_meta as b, sys; b.{hook}(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", program, str(out)],
        cwd=source,
        env={**os.environ, "DEEPRECT_DEBUG": "-O0"},  # faster to build; nothing is computed
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return path


def test_it_serves_every_python_3_of_its_platform(wheel):
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.endswith(f"-py3-none-{platform}.whl")


def test_it_holds_the_library_but_no_tests_and_nothing_of_mxnet(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "deeprect_mxnet.pth" in names
    if "editable" not in wheel.name:
        assert "deeprect_gluon/libdeeprect.so" in names
        assert {"deeprect_mxnet/__init__.py", "zoo/store/index.json"} <= set(names)
    tops = {name.partition("/")[0] for name in names if name.endswith(".py") and "/" in name}
    assert tops <= {"deeprect_gluon", "deeprect_mxnet", "zoo"}
    assert not [name for name in names if "lib_api" in name]


def test_python_imports_deeprect_mxnet_at_its_start(wheel, tmp_path):
    venv.create(tmp_path)
    python = tmp_path / "bin/python"
    site = sysconfig.get_path("purelib", vars={"base": str(tmp_path)})
    subprocess.run(
        [*PIP, "install", "--no-deps", "--no-index", "--target", site, str(wheel)], check=True
    )
    program = "import sys; print('deeprect_mxnet' in sys.modules, 'numpy' in sys.modules)"
    for options in ([], ["-I"]):
        done = subprocess.run(
            [str(python), *options, "-c", program],
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "True False\n", done.stderr
