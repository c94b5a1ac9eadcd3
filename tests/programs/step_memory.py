"""Print the peak memory, in bytes, of a process that does two training steps of BATCH images."""

import resource
import sys

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

batch, size = int(sys.argv[1]), 96
net = dg.models.get_model("deeprect_a", width=0.25, input_size=size, hidden=(16,), pyramid=(2, 1))
net.initialize()
net.hybridize(static_alloc=True, static_shape=True)
trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9}, kvstore=None)
criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
images, labels = mx.nd.ones((batch, 3, size, size)), mx.nd.zeros(batch)
for _ in range(2):
    with mx.autograd.record():
        loss = criterion(net(images), labels)
    loss.backward()
    trainer.step(batch)
    mx.nd.waitall()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
