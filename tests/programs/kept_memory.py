"""Prints the page faults of one PReLU into a fresh output; the argument says with what memory."""

import resource
import sys

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

if sys.argv[1] == "kept":
    assert dg.library.keep_memory()
x, alpha = mx.nd.ones((64, 1 << 18)), mx.nd.ones((1,))
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    dg.prelu(x, alpha).wait_to_read()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
