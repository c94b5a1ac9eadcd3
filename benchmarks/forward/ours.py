"""The network as this project builds it, with the settings that its import makes."""

import json
import os
import sys

from serve import serve

import deeprect_gluon
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import get_model

import mxnet as mx  # isort: skip  (its environment is prepared by then)

with open(sys.argv[1]) as file:
    specification = json.load(file)
net = get_model(**specification["config"])
net.collect_params().setattr("grad_req", "null")
net.initialize(MSRA(rectifier_slopes(net)))
net.hybridize(static_alloc=True, static_shape=True)
x = mx.nd.random.normal(shape=specification["shape"])
serve(
    lambda: net(x).wait_to_read(),
    version=deeprect_gluon.__version__,
    threads=int(os.environ["OMP_NUM_THREADS"]),
    parameters=sum(p.data().size for p in net.collect_params().values()),
)
