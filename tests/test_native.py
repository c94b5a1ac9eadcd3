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


NAMES = ["OMP_NUM_THREADS", "MXNET_EXEC_INPLACE_GRAD_SUM_CAP"]


@pytest.mark.parametrize("order", ORDERS, ids=["mxnet first", "deeprect_gluon first"])
@pytest.mark.parametrize("mine", [None, "3"])
def test_child_processes_inherit_what_the_user_set_and_no_more(order, mine):
    """Importing the package gave every child of a launcher all cores."""
    environment = {k: v for k, v in os.environ.items() if k not in NAMES}
    if mine:
        environment.update(dict.fromkeys(NAMES, mine))
    program = (
        f"import {order[0]}, {order[1]}, subprocess, deeprect_gluon as dg\n"
        "print(dg.native.threads(), flush=True)\n"
        "subprocess.run(['env'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    threads, *lines = done.stdout.splitlines()
    assert int(threads) == int(mine or CORES)
    inherited = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {name: inherited.get(name) for name in NAMES} == dict.fromkeys(NAMES, mine)


def test_a_low_cap_of_the_users_is_warned_of(run_program):
    """It was overwritten; left as it is, it makes the gradients of many consumers wrong."""
    remedy = "MXNET_EXEC_INPLACE_GRAD_SUM_CAP=100000000"
    program = "gradient_sums"
    assert run_program(program, MXNET_EXEC_INPLACE_GRAD_SUM_CAP=None) == "True\n"
    assert run_program(program, MXNET_EXEC_INPLACE_GRAD_SUM_CAP="100000000") == "True\n"
    right, warning = run_program(program, MXNET_EXEC_INPLACE_GRAD_SUM_CAP="4").splitlines()
    assert right == "False"
    assert remedy in warning


@pytest.mark.parametrize("count", [0, -1, 1025, 50_000, 2.5])
def test_a_number_of_threads_that_ended_the_process(count):
    with pytest.raises(ValueError, match=f"count must be .*, got {count}"):
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
