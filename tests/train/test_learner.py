"""Mixed precision: trainings on the CPU, and what a device refuses."""

import mxnet as mx
import pytest

from deeprect_gluon.train.learner import start_amp


@pytest.mark.slow
def test_on_the_cpu(run_program):
    run_program("mixed_precision", OMP_NUM_THREADS="1")


@pytest.mark.parametrize(
    ("amp", "context", "instead"),
    [("float16", mx.cpu(), "amp=bfloat16"), ("bfloat16", mx.gpu(), "amp=float16")],
)
def test_what_a_device_has_not_is_refused(amp, context, instead):
    with pytest.raises(ValueError, match=f"amp={amp} cannot train on .*use {instead} or none"):
        start_amp(amp, context)
