"""Builds libdeeprect.so against an installed MXNet wheel; metadata is in pyproject.toml.

Environment:
  CXX             the C++ compiler (default: g++, or else clang++)
  DEEPRECT_DEBUG  compiler flags put after all others, e.g. "-O1 -g -fsanitize=address"
"""

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
FLAGS = [
    *("-std=c++17", "-O3", "-fopenmp", "-fPIC", "-Wall", "-Wextra"),
    *("-ffp-contract=off", "-fno-math-errno"),
]
# Vectors wider than the instruction set's registers never cross a function that is not inlined.
KERNEL_FLAGS = ["-Wno-psabi", "-Wno-ignored-attributes"]
SOURCES = ["src/register.cc", "src/prelu_cpu.cc", "src/normal.cc"]
# The kernels are compiled once for each of these; the library chooses at run time.
KERNELS = "src/prelu_kernels.cc"
INSTRUCTION_SETS = {"baseline": []}
if platform.machine() in ("x86_64", "AMD64"):
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma", "-mf16c"]
    INSTRUCTION_SETS["avx512"] = [
        *INSTRUCTION_SETS["avx2"],
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
    ]


def stop(message):
    sys.exit(f"deeprect_gluon cannot be built: {message}")


def find_mxnet():
    """Return the folder of the installed mxnet package, without importing it."""
    spec = importlib.util.find_spec("mxnet")
    if spec is None:
        stop("MXNet is not installed; run 'pip install mxnet==1.9.1 numpy==1.23.5' first.")
    package = Path(spec.origin).parent
    if not (package / "src/lib_api.cc").exists():
        stop(f"the MXNet in {package} has no src/lib_api.cc; install the wheel mxnet==1.9.1.")
    return package


def find_compiler():
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++"]:
        if shutil.which(name.split()[0]):
            return name.split()
    stop(
        f"no C++ compiler found (looked for {wanted or 'g++ and clang++'}); "
        "install one (Debian: apt-get install g++) or name it in CXX."
    )


class BuildLibrary(build_ext):
    """Compiles a plain shared library: it is loaded by MXNet, not imported by Python."""

    def get_ext_filename(self, fullname):
        return fullname.replace(".", os.sep) + ".so"

    def build_extension(self, ext):
        mxnet = find_mxnet()
        compiler = find_compiler()
        self.compiler.set_executables(compiler_so=compiler, linker_so=compiler)
        flags = [*FLAGS, *os.environ.get("DEEPRECT_DEBUG", "").split()]
        build = Path(self.build_temp)

        def compile_sources(sources, folder, *extra):
            return self.compiler.compile(
                sources,
                output_dir=str(build / folder),
                macros=[("DEEPRECT_VERSION", f'"{self.distribution.get_version()}"')],
                include_dirs=["src"],
                extra_postargs=[*flags, f"-isystem{mxnet / 'include'}", *extra],
                depends=ext.depends,
            )

        objects = compile_sources([str(mxnet / "src/lib_api.cc")], "mxnet", "-w")
        objects += compile_sources(SOURCES, "common")
        for name, extra in INSTRUCTION_SETS.items():
            objects += compile_sources(
                [KERNELS], name, f"-DDEEPRECT_ISA={name}", *KERNEL_FLAGS, *extra
            )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(objects, str(target), extra_postargs=["-shared", *flags])


def mxnet_requirement():
    return "mxnet==1.9.1"


if not (3, 8) <= sys.version_info[:2] <= (3, 11):
    stop(f"Python {platform.python_version()} is not supported by MXNet 1.9.1; use 3.8 to 3.11.")

setup(
    install_requires=[
        mxnet_requirement(),
        "numpy>=1.20,<1.24",
        "tqdm",
        "filelock",
        "pooch",
        "pillow",
        "safetensors>=0.4,<1",
        "jsonschema>=4.17",
    ],
    ext_modules=[
        Extension(
            "deeprect_gluon.libdeeprect",
            sources=[],
            depends=[str(p) for p in sorted(ROOT.glob("src/*"))],
        )
    ],
    cmdclass={"build_ext": BuildLibrary},
)
