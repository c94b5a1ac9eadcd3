"""Do one step of a training, and keep what a training carries from one step to the next."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Mapping

import mxnet as mx
import numpy as np
from mxnet.contrib import amp as mxnet_amp

from ..models import DeepRect
from .config import TrainConfig
from .distributed import Workers
from .metrics import Totals
from .schedule import Schedule

# What may differ when a training continues: none of it changes what a step does.
_FREE = ("epochs", "max_steps", "report_every", "checkpoint_every", "keep_checkpoints", "folder")


class Learner:
    """A net in training: parameters, momentum, schedule, counts and position.

    Parameters
    ----------
    net : HybridBlock
        Its parameters have values.
    config : TrainConfig
    workers : Workers
    steps_per_epoch : int
    description : mapping
        What else changes a step, as JSON values: the data and their augmentation.

    Attributes
    ----------
    step : int
        Steps done.
    best : dict or None
        Step and error of the best validation.
    """

    def __init__(
        self,
        net: mx.gluon.HybridBlock,
        config: TrainConfig,
        workers: Workers,
        steps_per_epoch: int,
        description: Mapping,
    ):
        self.net, self.config, self.workers = net, config, workers
        self.steps_per_epoch, self.description = steps_per_epoch, description
        self.step = 0
        self.best: dict | None = None
        self.schedule = Schedule(config, steps_per_epoch)
        self.totals = Totals(workers)
        self._criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        if not config.bias_decay:
            for name, parameter in net.collect_params().items():
                if name.endswith("bias"):
                    parameter.wd_mult = 0.0
        self.trainer = workers.trainer(
            net,
            {"momentum": config.momentum, "wd": config.weight_decay, "learning_rate": config.lr},
        )
        self._loss_scale = LossScale(config.amp, self.trainer)

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return self.trainer.learning_rate

    def learn(self, images: mx.nd.NDArray, labels: mx.nd.NDArray) -> None:
        """Do one step with this worker's part of the batch."""
        # MXNet cannot save the state of its random numbers. A new seed in each step makes that
        # needless: dropout depends on (seed, rank, step) only.
        entropy = [self.config.seed, self.workers.rank, self.step]
        mx.random.seed(int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1))
        self.trainer.set_learning_rate(self.schedule.lr(self.step))
        images = images.as_in_context(self.workers.context)
        labels = labels.as_in_context(self.workers.context)
        with mx.autograd.record():
            output = self.net(images)
            loss = self._criterion(output, labels)
            scaled = self._loss_scale.apply(loss)
        scaled.backward()
        # The gradients are sums over images. Divided by the whole batch, each image counts the
        # same, however many of them a worker has.
        self.trainer.step(self.config.batch_size / self.workers.size)
        self.totals.add(output, labels, loss)
        self.step += 1

    def validated(self, error: float) -> None:
        """Record a validation error (a fraction)."""
        self.schedule.update(error)
        if self.best is None or error < self.best["error"]:
            self.best = {"step": self.step, "error": error}

    def is_finite(self) -> bool:
        """Return whether no worker has a parameter or momentum of NaN or infinity."""
        finite = all(mx.nd.all_finite(array).asscalar() for array in self.arrays().values())
        return not self.workers.any(not finite)

    def arrays(self) -> dict[str, mx.nd.NDArray]:
        """Return parameters and momentum by name; momentum only after the first step."""
        states = self.trainer._updaters[0].states
        positions = {p.name: i for i, p in enumerate(self.trainer._params)}
        arrays = {}
        for name, parameter in self.net._collect_params_with_prefix().items():
            arrays[f"parameter/{name}"] = parameter.list_data()[0]
            state = states.get(positions[parameter.name])
            if state is not None:
                arrays[f"momentum/{name}"] = state
        return arrays

    def state(self) -> dict:
        """Return the rest, as JSON values; all workers must call it at the same step."""
        return {
            "step": self.step,
            "best": self.best,
            "schedule": self.schedule.state(),
            "loss_scale": self._loss_scale.state(),
            "pending": self.totals.pending().tolist(),
            "made_with": self._made_with(),
        }

    def _made_with(self) -> dict:
        settings = {
            **(self.net.config if isinstance(self.net, DeepRect) else {}),
            **asdict(self.config),
            "steps_per_epoch": self.steps_per_epoch,
            **self.description,
        }
        settings.update(settings.pop("data", {}))
        kept = {name: value for name, value in settings.items() if name not in _FREE}
        return json.loads(json.dumps(kept))  # as they come back from a file

    def restore(self, arrays: dict[str, np.ndarray] | None, shapes: dict, state: dict) -> None:
        """Continue from a checkpoint; only the first worker needs its arrays.

        Raises
        ------
        ValueError
            If it belongs to another training; the message says what differs.
        """
        then = state["made_with"]
        # Older versions had more settings: those must have been off.
        now = {**dict.fromkeys(then, False), **self._made_with()}
        different = [
            f"{name}={then.get(name, 'unknown')}, not {value}"
            for name, value in now.items()
            if then.get(name, self) != value
        ]
        if different:
            raise ValueError(f"it was made with {'; '.join(different)}")
        self.step = int(state["step"])
        if self.step < 0:
            raise ValueError(f"it comes after {self.step} steps")
        if state["best"] is not None:
            step, error = state["best"]["step"], state["best"]["error"]
            self.best = {"step": int(step), "error": float(error)}
        self.schedule.restore(state["schedule"])
        self._loss_scale.restore(state["loss_scale"])
        self.totals.restore(state["pending"])
        if self.step:
            self._make_momentum()
        mine = self.arrays()
        if shapes != {name: array.shape for name, array in mine.items()}:
            raise ValueError("it was made with another net")
        for name, array in (arrays or {}).items():
            mine[name][:] = array
        self.workers.broadcast(mine)

    def _make_momentum(self) -> None:
        """Make the optimiser's arrays, which MXNet makes in the first step."""
        updater = self.trainer._updaters[0]
        for index, parameter in enumerate(self.trainer._params):
            if parameter.grad_req == "null":
                continue
            updater.states[index] = updater.optimizer.create_state_multi_precision(
                index, parameter.list_data()[0]
            )
            updater.states_synced[index] = True


def start_amp(amp: str, context: mx.Context) -> None:
    """Let MXNet's operators compute in lower precision from here on, in the whole process.

    Call it before the first net is called.

    Parameters
    ----------
    amp : {"none", "float16", "bfloat16"}
    context : Context

    Raises
    ------
    ValueError
        If MXNet 1.9.1 has no such arithmetic on that device.
    """
    if amp == "none":
        return
    device = "gpu" if amp == "float16" else "cpu"
    if context.device_type != device:
        other = {"float16": "matrix products or convolutions", "bfloat16": "operators"}[amp]
        raise ValueError(
            f"amp={amp} cannot train on {context}: MXNet 1.9.1 has no {amp} {other} there; use "
            f"amp={'bfloat16' if amp == 'float16' else 'float16'} or none"
        )
    mxnet_amp.init(amp)


class LossScale:
    """The factor on the loss that keeps float16 gradients from vanishing; 1 in other precisions.

    MXNet doubles it after 2000 steps without overflow. If a gradient overflows, MXNet halves it and
    skips the step. MXNet tests the gradients after they were summed over the workers, so that all
    workers decide the same.

    Parameters
    ----------
    amp : str
    trainer : Trainer
    """

    def __init__(self, amp: str, trainer: mx.gluon.Trainer):
        self._trainer = trainer
        self._scaler = None
        if amp == "float16":
            mxnet_amp.init_trainer(trainer)
            self._scaler = trainer._amp_loss_scaler

    def apply(self, loss: mx.nd.NDArray) -> mx.nd.NDArray:
        """Return the loss to differentiate; within `autograd.record`."""
        if self._scaler is None:
            return loss
        with mxnet_amp.scale_loss(loss, self._trainer) as scaled:
            return scaled

    def state(self) -> dict | None:
        """Return what `restore` needs, as JSON values."""
        return None if self._scaler is None else dict(vars(self._scaler))

    def restore(self, state: dict | None) -> None:
        """Continue from what `state` returned."""
        if state is not None and self._scaler is not None:
            vars(self._scaler).update(state)
