"""Print the fewest page faults of a PReLU into a fresh output, with memory kept or by default."""

import resource
import sys

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

if sys.argv[1] == "kept":
    assert dg.native.keep_memory()
x, alpha = mx.nd.ones((64, 1 << 18)), mx.nd.ones((1,))
faults = []
# MXNet frees an output some time after its last use, so the first rounds may need more memory.
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    dg.prelu(x, alpha).wait_to_read()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    mx.nd.waitall()
print(min(faults))
