"""Print the peak memory, in bytes, after two training steps of each of some batch sizes."""

import sys
from pathlib import Path

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

size = 96
net = dg.models.get_model("deeprect_a", width=0.25, input_size=size, hidden=(16,), pyramid=(2, 1))
net.initialize()
net.hybridize(static_alloc=True, static_shape=True)
trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9}, kvstore=None)
criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
for batch in map(int, sys.argv[1:]):
    images, labels = mx.nd.ones((batch, 3, size, size)), mx.nd.zeros(batch)
    for _ in range(2):
        with mx.autograd.record():
            loss = criterion(net(images), labels)
        loss.backward()
        trainer.step(batch)
        mx.nd.waitall()
    # Not ru_maxrss, which starts with what the process that forked this one had.
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    print(1024 * int(status["VmHWM"].split()[0]))
