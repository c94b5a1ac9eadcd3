#!/bin/sh
# Builds the operators' library with AddressSanitizer and UndefinedBehaviorSanitizer into a folder of
# its own, and runs the operators' tests with it. Usage: scripts/sanitize.sh [pytest arguments]
# PYTHON names the interpreter (default: python3), CXX the compiler (default: g++).
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
compiler=${CXX:-g++}
build=$project/build/sanitize

mkdir -p "$build"
rm -rf "$build/deeprect_gluon"
cp -R "$project/deeprect_gluon" "$build/"
rm -f "$build/deeprect_gluon/libdeeprect.so"
cd "$project"
DEEPRECT_DEBUG="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" \
    "$python" setup.py -q build_ext --build-temp "$build/objects" --build-lib "$build"

# Python itself is not instrumented: the runtimes must be loaded before it, and its own leaks, and
# MXNet's, are not ours. From another folder, or Python would import the package beside the tests.
cd "$build"
rm -f report.*
export PYTHONPATH="$build"
export ASAN_OPTIONS="detect_leaks=0:log_path=$build/report"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$build/report"
runtimes="$($compiler -print-file-name=libasan.so) $($compiler -print-file-name=libubsan.so)"
status=0
LD_PRELOAD="$runtimes" "$python" -m pytest -q -p no:cacheprovider "$project/tests/test_operator.py" \
    "$project/tests/test_operator_gradients.py" "$project/tests/test_operator_bits.py" \
    "$project/tests/test_operator_arguments.py" \
    "$project/tests/test_optimizer.py" "$project/tests/test_conv_prelu.py" \
    "$project/tests/test_dense.py" "$project/tests/test_max_pool.py" "$@" || status=$?
for report in report.*; do
    if [ -e "$report" ]; then
        cat "$report" >&2
        status=1
    fi
done
exit $status
