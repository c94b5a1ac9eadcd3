"""Train in mixed precision on the CPU; each part changes MXNet for its whole process.

MXNet cannot multiply float16 matrices on the CPU. The test of the loss scale therefore changes its
lists so that every operator of the net stays in float32, and only the scale has an effect.
"""

import os
import tempfile
import traceback

import numpy as np

import deeprect_gluon as dg

import mxnet as mx  # isort: skip
from mxnet.contrib import amp

from deeprect_gluon.data import Batches
from deeprect_gluon.train import Checkpoints, TrainConfig, Workers, fit
from deeprect_gluon.train.learner import start_amp

HUGE = 2.0**122  # with which gradients are too large for float32


def train(steps=12, scale=None, checkpoints=None, lr=0.1, contrast=1, **config):
    rng = np.random.default_rng(0)
    images = contrast * rng.normal(size=(64, 10)).astype(np.float32)
    labels = (images[:, 0] > 0).astype(np.int32)
    net = mx.gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(mx.gluon.nn.Dense(8, in_units=10), dg.nn.PReLU(in_channels=8))
        net.add(mx.gluon.nn.Dense(2, in_units=8))
    mx.random.seed(1)
    net.initialize(mx.init.Normal(0.5))
    if scale:
        # MXNet hands its first scaler out once; every training here is to begin with this one.
        amp.amp._amp_loss_scale_initialized = False
        amp.amp._loss_scaler = amp.loss_scaler.LossScaler()
        amp.amp._loss_scaler._next_loss_scale = amp.amp._loss_scaler._loss_scale = scale
    config = TrainConfig(
        epochs=9, batch_size=16, lr=lr, max_steps=steps, checkpoint_every=4, **config
    )
    batches = Batches(images, labels, 16, shuffle=True)
    history = fit(net, batches, None, config, checkpoints=checkpoints, resume=True)
    values = [p.data().asnumpy() for p in net.collect_params().values()]
    return values, [row.train_loss for row in history.rows]


def in_own_process(part):
    pid = os.fork()
    if pid == 0:
        try:
            part()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0, part.__name__


def bfloat16():
    exact, losses = train()
    start_amp("bfloat16", Workers().context)
    values, lower = train(amp="bfloat16")
    assert lower != losses
    np.testing.assert_allclose(lower, losses, atol=0.02)
    assert {value.dtype for value in values} == {np.dtype(np.float32)}


def scaled_loss():
    exact, _ = train()
    amp.init("float16", target_precision_ops=[], fp32_ops=["FullyConnected"])
    values, _ = train(amp="float16")
    for value, expected in zip(values, exact):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)


def overflow_and_resume():
    amp.init("float16", target_precision_ops=[], fp32_ops=["FullyConnected"])
    how = {"amp": "float16", "lr": 1e-4, "contrast": 100}
    with tempfile.TemporaryDirectory() as folder:
        # The first steps overflow and are left out, until the scale was halved often enough.
        undisturbed, cut = (Checkpoints(f"{folder}/{name}") for name in ("undisturbed", "cut"))
        whole, _ = train(scale=HUGE, checkpoints=undisturbed, **how)
        state = undisturbed.latest()[2]["loss_scale"]
        assert 0 < state["_unskipped"] < 12
        train(8, scale=HUGE, checkpoints=cut, **how)
        rest, _ = train(scale=1.0, checkpoints=cut, **how)
    for value, expected in zip(rest, whole):
        assert (value == expected).all()


for part in (bfloat16, scaled_loss, overflow_and_resume):
    in_own_process(part)
