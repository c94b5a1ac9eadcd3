"""Loading the operator library, and the settings it makes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import deeprect_gluon as dg

CORES = dg.native.physical_cores()
ORDERS = [("mxnet", "deeprect_gluon"), ("deeprect_gluon", "mxnet")]


@pytest.fixture(scope="module")
def helpers(run_program):
    """Return a function that counts the threads that help an operator of MXNet's, and one of ours.

    OpenMP keeps them for the next operator, so they are counted by comparing the process with one
    that was told to use none.
    """

    def count(order, threads):
        def run(number):
            env = {"OMP_NUM_THREADS": number, "OPENBLAS_NUM_THREADS": "1"}
            return [int(n) for n in run_program("thread_counts", *order, **env).split()]

        return [n - alone for n, alone in zip(run(threads), run("1"))]

    return count


@pytest.mark.parametrize("order", ORDERS, ids=["mxnet first", "deeprect_gluon first"])
def test_every_core_is_used_without_the_user_doing_anything(order, helpers):
    assert helpers(order, None) == [CORES - 1, CORES - 1]


@pytest.mark.parametrize("order", ORDERS, ids=["mxnet first", "deeprect_gluon first"])
def test_the_users_own_number_of_threads_stays(order, helpers):
    assert helpers(order, "3") == [2, 2]


@pytest.mark.parametrize("count", [0, -1, 1025, 50_000])
def test_a_number_of_threads_that_ended_the_process(count):
    with pytest.raises(ValueError, match=f"count={count}: an operator runs in 1 to 1024 threads"):
        dg.native.set_threads(count)


def test_import_after_a_graph_was_built_is_warned_of(run_program):
    remedy = "MXNET_EXEC_INPLACE_GRAD_SUM_CAP=100000000"
    assert remedy in run_program("late_import", MXNET_EXEC_INPLACE_GRAD_SUM_CAP=None)
    assert run_program("late_import", MXNET_EXEC_INPLACE_GRAD_SUM_CAP="100000000") == "\n"


def test_keep_memory_spares_page_faults(run_program):
    before, after = (int(run_program("kept_memory", memory)) for memory in ("default", "kept"))
    pages = (64 << 20) // os.sysconf("SC_PAGE_SIZE")
    # Fresh memory faults on every page, or on every huge page where the kernel gives those.
    assert before >= pages // 512
    assert after < before / 10


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the system has no huge pages"
)
def test_a_large_result_asks_for_huge_pages(run_program):
    margins = 2 << 21  # at either end, what is less than a huge page
    assert int(run_program("huge_pages")) >= (64 << 20) - margins


def test_missing_mxnet_is_one_sentence(tmp_path):
    """An interpreter that has the package and NumPy, and no MXNet."""
    program = (
        "import importlib.abc, sys\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mxnet': raise ModuleNotFoundError('no module', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import deeprect_gluon"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: MXNet is not installed; install it with 'pip install --no-deps mxnet==1.9.1'"
    )
