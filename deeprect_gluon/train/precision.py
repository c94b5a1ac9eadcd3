"""Mixed precision: `mxnet.contrib.amp`, where the device has it."""

from __future__ import annotations

import mxnet as mx
from mxnet.contrib import amp as mxnet_amp


def prepare(amp: str, context: mx.Context) -> None:
    """Let MXNet's operators compute in lower precision from here on, in the whole process.

    It must come before the first net is called.

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

    MXNet doubles it after 2000 steps without overflow, and halves it and leaves the step out when
    a gradient overflows. It looks at the gradients after they were summed over the workers, so
    that all of them decide the same.

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
        return None if self._scaler is None else dict(vars(self._scaler))

    def restore(self, state: dict | None) -> None:
        if state is not None and self._scaler is not None:
            vars(self._scaler).update(state)
