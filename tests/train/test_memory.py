"""The estimate of a step's memory, against what a process really takes."""

import pytest

from deeprect_gluon import models
from deeprect_gluon.train.memory import estimate


def test_estimate_against_a_real_step(run_program):
    """What a larger batch takes more of is activations."""
    config = {"width": 0.25, "input_size": 96, "hidden": (16,), "pyramid": (2, 1)}
    net = models.get_model("deeprect_a", **config)
    few, many = estimate(net, 4), estimate(net, 68)
    assert few.parameters == many.parameters == 4 * models.summary(net).parameters
    small, large = map(int, run_program("step_memory", "4", "68", OMP_NUM_THREADS="1").split())
    assert large - small == pytest.approx(many.activations - few.activations, rel=0.15)


def test_model_c_on_a_gpu_of_the_paper():
    """Its authors had eight K40 of 12 GB: 16 images on each."""
    memory = estimate(models.get_model("deeprect_c", activation="relu"), 16)
    assert memory.parameters == 4 * 330_603_368
    assert memory.total < 12e9
