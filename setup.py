"""Builds libdeeprect.so against an installed MXNet wheel; metadata is in pyproject.toml.

Environment:
  CXX                  the C++ compiler (default: g++, or else clang++)
  DEEPRECT_DEBUG       compiler flags put after all others, e.g. "-O1 -g -fsanitize=address"
  DEEPRECT_CUDA        1: build the GPU kernels too and require the wheel mxnet-cu112; 0: do not
                       (default: 1 if a CUDA build of MXNet is installed and nvcc is found)
  DEEPRECT_CUDA_ARCHS  GPU architectures, e.g. "70 80"; the last one's PTX is added for newer GPUs
                       (default: those that nvcc knows, see CUDA_ARCHS)
  CUDA_HOME            folder of the CUDA toolkit (default: the nvcc in PATH, or else the one in
                       /usr/local/cuda)
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MXNET = "mxnet==1.9.1"
FLAGS = [
    *("-std=c++17", "-O3", "-fopenmp", "-fPIC", "-Wall", "-Wextra"),
    *("-ffp-contract=off", "-fno-math-errno"),
]
# libmxnet has lib_api's functions too, compiled by an older compiler for classes of another layout,
# and Horovod makes them global: without this the library would call those instead of its own.
LINK_FLAGS = ["-Wl,-Bsymbolic"]
# Vectors wider than the instruction set's registers never cross a function that is not inlined.
KERNEL_FLAGS = ["-Wno-psabi", "-Wno-ignored-attributes"]
SOURCES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("src/*/*.cc"))
# Kernels are compiled once for each instruction set; the library chooses among them at run time.
KERNELS = [source for source in SOURCES if source.endswith("kernels.cc")]
# Convolutions and dense layers are not bound to one rounding: their products may be added fused.
FLAGS_OF_KERNELS = {
    # Its runs of zeros are too short for a call of memset.
    "src/conv/kernels.cc": ["-ffp-contract=fast", "-fno-tree-loop-distribute-patterns"],
    "src/conv/direct_kernels.cc": ["-ffp-contract=fast"],
    "src/product/kernels.cc": ["-ffp-contract=fast"],
}
INSTRUCTION_SETS = {"baseline": []}
if platform.machine() in ("x86_64", "AMD64"):
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma", "-mf16c"]
    INSTRUCTION_SETS["avx512"] = [
        *INSTRUCTION_SETS["avx2"],
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
    ]
# CUDA kernels: IEEE arithmetic, as on the CPU. The default architectures by nvcc's version.
CUDA_SOURCE = "src/prelu/gpu.cu"
CUDA_FLAGS = ["-std=c++17", "-O3", "-fmad=false", "-Xcompiler=-fPIC,-Wall"]
CUDA_ARCHS = {
    (13, 0): "75 80 90",
    (11, 8): "50 60 70 75 80 86 90",
    (11, 1): "50 60 70 75 80 86",
}


def stop(message):
    sys.exit(f"deeprect_gluon cannot be built: {message}")


def find_mxnet(folder):
    """Return a folder with lib_api.h and lib_api.cc of MXNet, without importing it.

    It is the installed package or, where a build in isolation has none, `folder`, into which the
    two files are unpacked from MXNet's wheel.
    """
    spec = importlib.util.find_spec("mxnet")
    if spec is None:
        return unpack_lib_api(folder)
    package = Path(spec.origin).parent
    if not (package / "src/lib_api.cc").exists():
        stop(f"the MXNet in {package} has no src/lib_api.cc; install the wheel {MXNET}.")
    return package


def unpack_lib_api(folder):
    folder.mkdir(parents=True, exist_ok=True)
    # Without its requirements: Python 3.13 has no wheel of the NumPy that MXNet names.
    download = ["download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder), MXNET]
    if subprocess.run([sys.executable, "-m", "pip", *download]).returncode:
        stop(
            f"MXNet is not installed, and pip could not download it; run "
            f"'pip install --no-deps {MXNET}' first, and build with --no-build-isolation."
        )
    with zipfile.ZipFile(next(folder.glob("mxnet-*.whl"))) as wheel:
        for name in ("mxnet/include/mxnet/lib_api.h", "mxnet/src/lib_api.cc"):
            wheel.extract(name, folder)
    return folder / "mxnet"


def find_compiler():
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++"]:
        if shutil.which(name.split()[0]):
            return name.split()
    stop(
        f"no C++ compiler found (looked for {wanted or 'g++ and clang++'}); "
        "install one (Debian: apt-get install g++) or name it in CXX."
    )


def cuda_wheel():
    """Return the name of the installed CUDA build of MXNet, or None."""
    names = (d.metadata["Name"] or "" for d in importlib.metadata.distributions())
    return next((name for name in names if name.startswith("mxnet-cu")), None)


def find_nvcc():
    home = os.environ.get("CUDA_HOME")
    folders = [f"{home}/bin"] if home else [os.environ.get("PATH", ""), "/usr/local/cuda/bin"]
    return next(filter(None, (shutil.which("nvcc", path=folder) for folder in folders)), None)


def with_cuda():
    wanted = os.environ.get("DEEPRECT_CUDA", "")
    if wanted not in ("", "0", "1"):
        stop(f"DEEPRECT_CUDA={wanted} has no meaning; set it to 1 or 0, or not at all.")
    if wanted == "1" and not find_nvcc():
        stop(
            "DEEPRECT_CUDA=1, but there is no nvcc in PATH or CUDA_HOME; install the CUDA "
            "toolkit (11.2 for mxnet-cu112), or set DEEPRECT_CUDA=0 to build for the CPU."
        )
    return wanted == "1" or (wanted == "" and bool(cuda_wheel() and find_nvcc()))


def cuda_architectures(nvcc):
    """Return nvcc's flags for the architectures to compile for."""
    text = subprocess.run([nvcc, "--version"], check=True, capture_output=True, text=True).stdout
    version = tuple(map(int, re.search(r"release (\d+)\.(\d+)", text).groups()))
    defaults = (archs for oldest, archs in CUDA_ARCHS.items() if version >= oldest)
    archs = (os.environ.get("DEEPRECT_CUDA_ARCHS") or next(defaults, "")).split()
    if not archs:
        stop(f"nvcc {version[0]}.{version[1]} is too old; install CUDA 11.1 or newer.")
    if not all(re.fullmatch(r"\d+[a-z]?", arch) for arch in archs):
        stop(f"DEEPRECT_CUDA_ARCHS={' '.join(archs)} is not a list such as '70 75 80'.")
    codes = [f"arch=compute_{arch},code=sm_{arch}" for arch in archs]
    codes.append(f"arch=compute_{archs[-1]},code=compute_{archs[-1]}")
    return [f"-gencode={code}" for code in codes]


class BuildLibrary(build_ext):
    """Compiles a plain shared library: it is loaded by MXNet, not imported by Python."""

    def get_ext_filename(self, fullname):
        return fullname.replace(".", os.sep) + ".so"

    def build_extension(self, ext):
        build = Path(self.build_temp)
        mxnet = find_mxnet(build / "wheel")
        compiler = find_compiler()
        # Newer versions of setuptools have separate entries for C++.
        programs = ("compiler_so", "compiler_so_cxx", "linker_so", "linker_so_cxx")
        known = self.compiler.executables
        self.compiler.set_executables(**{name: compiler for name in programs if name in known})
        flags = [*FLAGS, *os.environ.get("DEEPRECT_DEBUG", "").split()]
        macros = [("DEEPRECT_VERSION", f'"{self.distribution.get_version()}"')]
        if with_cuda():
            macros.append(("DEEPRECT_WITH_CUDA", None))

        def compile_sources(sources, folder, *extra):
            return self.compiler.compile(
                sources,
                output_dir=str(build / folder),
                macros=macros,
                include_dirs=["src"],
                extra_postargs=[*flags, f"-isystem{mxnet / 'include'}", *extra],
                depends=ext.depends,
            )

        objects = compile_sources([str(mxnet / "src/lib_api.cc")], "mxnet", "-w")
        objects += compile_sources([s for s in SOURCES if s not in KERNELS], "common")
        for name, extra in INSTRUCTION_SETS.items():
            for source in KERNELS:
                own = FLAGS_OF_KERNELS.get(source, [])
                objects += compile_sources(
                    [source], name, f"-DDEEPRECT_ISA={name}", *KERNEL_FLAGS, *extra, *own
                )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        if with_cuda():
            self.link_with_cuda(objects, build / "prelu_gpu.o", target, compiler, flags)
        else:
            self.compiler.link_shared_object(
                objects, str(target), extra_postargs=["-shared", *LINK_FLAGS, *flags]
            )

    def link_with_cuda(self, objects, cuda_object, target, compiler, flags):
        """Compile the CUDA kernels and link all by nvcc, which knows where its runtime is.

        The static runtime finds the driver when it is first used: the library loads without one,
        and beside MXNet's own runtime, from which its symbols are hidden.
        """
        nvcc = [find_nvcc(), "-ccbin", compiler[0]]
        archs = cuda_architectures(nvcc[0])
        compile_only = ["-Isrc", "-c", CUDA_SOURCE, "-o", str(cuda_object)]
        self.spawn([*nvcc, *CUDA_FLAGS, *archs, *compile_only])
        shared = ["-shared", "-cudart=static", "-Xlinker=--exclude-libs,libcudart_static.a"]
        host_flags = ",".join(flag.replace(",", r"\,") for flag in [*LINK_FLAGS, *flags])
        inputs = [*objects, str(cuda_object), "-o", str(target)]
        self.spawn([*nvcc, *shared, f"-Xcompiler={host_flags}", *inputs])


class BuildPython(build_py):
    """Puts deeprect_mxnet.pth among the packages, from where Python reads it at every start."""

    def run(self):
        super().run()
        # An editable installation leaves the packages where they are, and takes only this file.
        editable = self.editable_mode
        folder = self.get_finalized_command("install").install_lib if editable else self.build_lib
        self.copy_file("deeprect_mxnet.pth", folder)


class BuildWheel(bdist_wheel):
    """Makes one wheel for every Python: the library is opened by MXNet, not by Python."""

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


def mxnet_requirement():
    return MXNET.replace("mxnet", cuda_wheel() or "mxnet-cu112") if with_cuda() else MXNET


if not (3, 8) <= sys.version_info[:2] <= (3, 14):
    stop(f"Python {platform.python_version()} was not tried with MXNet 1.9.1; use 3.8 to 3.14.")

setup(
    install_requires=[
        # MXNet asks for a NumPy below 2, of which Python 3.13 has no wheel: there it is installed
        # without its requirements, which are the next three (docs/install.md).
        f"{mxnet_requirement()}; python_version < '3.13'",
        "numpy>=1.20,<3",
        "graphviz<0.9",
        "requests",
        "matplotlib",
        "tensorboardX",
        "tqdm",
        "filelock",
        "pooch",
        "pillow",
        "opencv-python-headless>=4.11",
        "safetensors>=0.4,<0.8",
        "jsonschema>=4.17",
        "fsspec",
        "PyYAML",
    ],
    ext_modules=[
        Extension(
            "deeprect_gluon.libdeeprect",
            sources=[],
            depends=[str(p) for p in sorted(ROOT.glob("src/*/*"))],
        )
    ],
    cmdclass={"build_ext": BuildLibrary, "build_py": BuildPython, "bdist_wheel": BuildWheel},
)
