"""The models of time and memory against the paper, a real process and obvious limits."""

import pytest

from deeprect_gluon import models
from deeprect_gluon.train.estimate import (
    Counts,
    Machine,
    estimate_memory,
    horovod_step,
    paper_step,
    table,
)

FREE_LINKS = Machine(1e12, 1e30)


@pytest.fixture(scope="module")
def model_c():
    return Counts.of("deeprect_c")


def test_counts_are_those_of_the_table(model_c):
    assert model_c.multiply_adds == pytest.approx(5.30e10, rel=0.01)
    assert model_c.features == 56_448
    assert model_c.fc_parameters == (56_448 + 1 + 1) * 4096 + (4096 + 1 + 1) * 4096 + 4097 * 1000


def test_without_links_only_the_undivided_layers_cost(model_c):
    alone = 3 * 128 * model_c.multiply_adds / 1e12
    for gpus in (1, 4):
        assert horovod_step(model_c, FREE_LINKS, 128, gpus) == pytest.approx([alone / gpus] * 2)
    more = 3 * 128 * model_c.fc_multiply_adds / 1e12
    assert paper_step(model_c, FREE_LINKS, 128, 4) == pytest.approx((alone - more) / 4 + more)


def test_a_slow_link_is_the_bound(model_c):
    slow = Machine(1e30, 1e9)
    hidden, added = horovod_step(model_c, slow, 128, 8)
    assert hidden == added == pytest.approx(2 * 7 / 8 * 4 * model_c.parameters / 1e9)


def test_the_paper_measured_less_than_its_division_could_give(model_c):
    machine = Machine(0.86e12, 6e9)
    alone = machine.compute(128 * model_c.multiply_adds)
    for gpus, measured in ((4, 3.8), (8, 6.0)):
        assert measured < alone / paper_step(model_c, machine, 128, gpus) < gpus
    assert table("deeprect_c", machine, 128, [1, 8]).count("\n| ") == 3


def test_estimate_against_a_real_step(run_program):
    """Only activations grow with the batch."""
    config = {"width": 0.25, "input_size": 96, "hidden": (16,), "pyramid": (2, 1)}
    net = models.get_model("deeprect_a", **config)
    few, many = estimate_memory(net, 4), estimate_memory(net, 68)
    assert few.parameters == many.parameters == 4 * models.summary(net).parameters
    small, large = map(int, run_program("step_memory", "4", "68", OMP_NUM_THREADS="1").split())
    assert large - small == pytest.approx(many.activations - few.activations, rel=0.15)


def test_model_c_on_a_gpu_of_the_paper():
    """The authors had eight K40 of 12 GB, with 16 images on each."""
    memory = estimate_memory(models.get_model("deeprect_c", activation="relu"), 16)
    assert memory.parameters == 4 * 330_603_368
    assert memory.total < 12e9
