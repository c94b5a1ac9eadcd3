"""Train under `amp.init("bfloat16")`, which changes MXNet's operators for the whole process."""

import numpy as np

import deeprect_gluon as dg

import mxnet as mx  # isort: skip
from mxnet.contrib import amp

amp.init("bfloat16")
net = mx.gluon.nn.HybridSequential()
net.add(mx.gluon.nn.Dense(16), dg.nn.PReLU(), mx.gluon.nn.Dense(2))
net.initialize(mx.init.Normal(0.3))
net.hybridize()
trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.2})
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 8)).astype("float32")
y = (x[:, 0] > 0).astype("float32")
loss_of = mx.gluon.loss.SoftmaxCrossEntropyLoss()
losses = []
for _ in range(30):
    with mx.autograd.record():
        loss = loss_of(net(mx.nd.array(x)), mx.nd.array(y)).mean()
    loss.backward()
    trainer.step(1)
    losses.append(float(loss.asscalar()))
assert losses[-1] < 0.5 * losses[0], losses
assert (net[1].alpha.data().asnumpy() != 0.25).any()
