"""The network of MXNet's built-in operators, in Gluon with MXNet's default settings."""

import json
import os
import sys

import mxnet as mx
from serve import serve

with open(sys.argv[1]) as file:
    specification = json.load(file)
data = mx.sym.var("data")
net = mx.gluon.SymbolBlock(mx.sym.load_json(specification["symbol"]), data)
net.collect_params().setattr("grad_req", "null")
initializers = {"weight": mx.init.Xavier(), "bias": mx.init.Zero(), "alpha": mx.init.Constant(0.25)}
for kind, initializer in initializers.items():
    net.collect_params(f".*{kind}").initialize(initializer)
net.hybridize(static_alloc=True, static_shape=True)
x = mx.nd.random.normal(shape=specification["shape"])
net(x).wait_to_read()  # gives the parameters their shapes
serve(
    lambda: net(x).wait_to_read(),
    version=mx.__version__,
    threads=os.environ.get("OMP_NUM_THREADS", "default"),
    parameters=sum(p.data().size for p in net.collect_params().values()),
)
