#!/usr/bin/env python
"""Run a portable export by MXNet and NumPy alone: PATH and inputs.npy in, scores.npy out.

Prints the seconds that an image took, in the fastest of the rounds.
"""

import sys
import time

import mxnet as mx
import numpy as np

path, inputs, scores, rounds = *sys.argv[1:4], int(sys.argv[4])
net = mx.gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")
net.hybridize(static_alloc=True)
x = mx.nd.array(np.load(inputs))
np.save(scores, net(x).asnumpy())
seconds = []
for _ in range(rounds):
    begun = time.perf_counter()
    net(x).wait_to_read()
    seconds.append(time.perf_counter() - begun)
print(min(seconds) / len(x))
