"""Learning rates: the paper's drops, warm-up and linear scaling."""

import dataclasses

import pytest

from deeprect_gluon.train import TrainConfig
from deeprect_gluon.train.schedule import Schedule


def rates(config, steps_per_epoch=4):
    schedule = Schedule(config, steps_per_epoch)
    return [schedule.lr(step) for step in range(config.epochs * steps_per_epoch)]


def test_fixed_drops():
    config = TrainConfig(epochs=4, lr=0.01, lr_drops=(1, 3))
    assert rates(config) == pytest.approx([1e-2] * 4 + [1e-3] * 8 + [1e-4] * 4)


def test_warm_up_and_linear_scaling():
    config = TrainConfig(
        epochs=3, lr=0.01, batch_size=512, linear_scaling=True, warmup_epochs=1.5, lr_drops=(2,)
    )
    expected = [0.04 * (step + 1) / 6 for step in range(6)] + [0.04] * 2 + [0.004] * 4
    assert rates(config) == pytest.approx(expected)


def test_plateaus_drop_twice_as_in_the_paper_and_survive_a_checkpoint():
    config = TrainConfig(lr=0.01, plateau=2, plateau_gain=0.01)
    schedule = Schedule(config, 1)
    errors = [0.9, 0.8, 0.795, 0.791, 0.7, 0.7, 0.695, 0.7, 0.7, 0.7, 0.7]
    seen = []
    for error in errors:
        schedule.update(error)
        restored = Schedule(config, 1)
        restored.restore(schedule.state())
        schedule = restored
        seen.append(schedule.lr(0))
    # 0.795 and 0.791 are no gains on 0.8, and so on; there is no third drop.
    assert seen == pytest.approx([1e-2] * 3 + [1e-3] * 3 + [1e-4] * 5)
    assert not schedule.finished


def test_early_stop_needs_a_plateau():
    with pytest.raises(ValueError, match="early_stop waits for a plateau"):
        TrainConfig(early_stop=True)


def test_a_configuration_survives_json():
    config = TrainConfig(lr_drops=(1, 2), amp="bfloat16")
    values = {**dataclasses.asdict(config), "lr_drops": [1, 2]}
    assert TrainConfig(**values) == config
