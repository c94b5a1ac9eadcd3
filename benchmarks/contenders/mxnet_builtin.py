"""The network of MXNet's own operators, in an MXNet with its own settings: inference only."""

import json
from pathlib import Path

import mxnet as mx
import numpy as np
from protocol import serve


def load(request: dict):
    folder = Path(request["load"])
    symbol = json.loads((folder / "architecture.json").read_text())["symbol"]
    net = mx.gluon.SymbolBlock(mx.sym.load_json(symbol), mx.sym.var("data"))
    net.collect_params().setattr("grad_req", "null")
    with np.load(folder / "weights.npz") as weights:
        for name, parameter in net.collect_params().items():
            parameter.shape = weights[name].shape
            parameter.initialize(mx.init.Zero())
            parameter.set_data(mx.nd.array(weights[name]))
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.array(np.load(folder / "x.npy"))
    np.save(folder / "y.npy", net(x).asnumpy())
    return lambda: net(x).wait_to_read()


serve(load)
