#!/usr/bin/env bash
# Makes .venv: system packages, an interpreter, the pinned environment, the project and Horovod.
# Running it again installs only what is missing.
#
#   PYTHON   the interpreter to use (default: the first that works of python3.11 … python3.8, for
#            which MXNet was made, and then of python3.14 … python3.12)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

install_system_packages() {
  command -v dpkg-query >/dev/null || return 0 # not Debian: the checks below name what is missing
  local missing=() package
  # libgomp1 serves MXNet; the last four serve the tests of the C++ example and of the server's
  # page, which are skipped without them.
  for package in g++ python3-venv libgomp1 dataset-fashion-mnist \
    libjpeg62-turbo-dev nlohmann-json3-dev libssl-dev chromium-headless-shell; do
    [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) == "install ok installed" ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID == 0)); then
    apt-get update -qq
    drop_unknown_packages
    say "installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
  else
    say "not root, so these system packages stay missing: ${missing[*]}" \
      "(to have them: apt-get install ${missing[*]})"
    [[ " ${missing[*]} " != *" dataset-fashion-mnist "* ]] || unpack_dataset ||
      say "Fashion-MNIST will be downloaded when it is first used"
  fi
}

# Debian's relatives lack some, and apt-get installs all or nothing.
drop_unknown_packages() {
  local package known=()
  for package in "${missing[@]}"; do
    if [[ -n $(apt-cache madison "$package" 2>/dev/null) ]]; then
      known+=("$package")
    else
      say "apt has no package $package; it stays missing"
    fi
  done
  missing=("${known[@]}")
}

# Without root, the dataset's package can be unpacked into the folder where Gluon keeps datasets.
unpack_dataset() {
  local target=${MXNET_HOME:-$HOME/.mxnet}/datasets/fashion-mnist work
  [[ ! -e $target/t10k-labels-idx1-ubyte.gz ]] || return 0
  work=$(mktemp -d)
  (cd "$work" && apt-get download -qq dataset-fashion-mnist && dpkg -x ./*.deb .) &&
    mkdir -p "$target" && cp "$work"/usr/share/datasets/fashion-mnist/*.gz "$target"
  local status=$?
  rm -rf "$work"
  return $status
}

make_venv() {
  [[ ! -x .venv/bin/pip ]] || return 0
  local name names="python3.11 python3.10 python3.9 python3.8 python3.14 python3.13 python3.12 python3"
  for name in ${PYTHON:-$names}; do
    if "$name" -c 'import sys, ensurepip; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 14))' \
      2>/dev/null; then
      say "making .venv with $("$name" --version)"
      "$name" -m venv .venv
      return
    fi
  done
  die "no usable Python (looked for ${PYTHON:-$names});" \
    "install one of 3.8 to 3.14 with venv, or name it in PYTHON"
}

install_horovod() {
  has_horovod() { .venv/bin/python -c 'import horovod.mxnet' 2>/dev/null; }
  ! has_horovod || return 0
  say "building Horovod for MXNet (about two minutes; log in .venv/horovod.log)"
  (build_horovod) >.venv/horovod.log 2>&1 || true
  has_horovod || say "Horovod could not be built; everything but distributed training works" \
    "(the reason is at the end of .venv/horovod.log)"
}

build_horovod() {
  local name=horovod-0.28.1 work
  work=$(mktemp -d)
  .venv/bin/pip download -q --no-deps --no-binary=:all: --no-build-isolation -d "$work" "${name/-/==}"
  tar xzf "$work/$name.tar.gz" -C "$work"
  # GCC 13 and newer miss two includes, and GCC 14 refuses an assignment to this constant.
  sed -i 's/const size_type count_;/size_type count_;/' \
    "$work/$name/third_party/flatbuffers/include/flatbuffers/stl_emulation.h"
  export CXXFLAGS="-include stdexcept -include cstdint ${CXXFLAGS:-}"
  # The build looks for cmake and for an installed MXNet, hence PATH and no isolation.
  export PATH="$PWD/.venv/bin:$PATH"
  export HOROVOD_WITH_MXNET=1 HOROVOD_WITH_GLOO=1
  export HOROVOD_WITHOUT_MPI=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1
  .venv/bin/pip install -q --no-build-isolation "$work/$name"
  rm -rf "$work"
}

install_system_packages
command -v "${CXX:-g++}" >/dev/null || command -v clang++ >/dev/null ||
  die "no C++ compiler found; install one (Debian: apt-get install g++) or name it in CXX"
make_venv
say "installing the pinned environment"
.venv/bin/pip install -q --disable-pip-version-check -r requirements.txt
.venv/bin/pip install -q --disable-pip-version-check --no-deps mxnet==1.9.1 gluoncv==0.10.5.post0
say "building deeprect_gluon"
.venv/bin/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
install_horovod
say "ready: .venv"
