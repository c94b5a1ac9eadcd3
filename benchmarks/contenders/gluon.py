"""This project's networks, by the fused operator ("fused") or MXNet's convolution ("plain")."""

import json
import sys
from pathlib import Path

import numpy as np
from protocol import serve

from deeprect_gluon import native
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import Config, DeepRect, get_model
from deeprect_gluon.models.architectures import MaxPool
from deeprect_gluon.operators import portable_operators

import mxnet as mx  # isort: skip  (its environment is prepared by then)


def describe(net: DeepRect) -> dict:
    """Return what another framework needs to build the same network."""
    config = Config(**net.config)
    layers = [
        ["pool", layer.kernel, layer.stride]
        if isinstance(layer, MaxPool)
        else ["conv", layer.filters, layer.kernel, layer.stride, layer.pads[0]]
        for layer in config.layers
    ]
    with portable_operators():
        symbol = net(mx.sym.var("data")).tojson()
    return {**net.config, "layers": layers, "map_size": config.map_size(), "symbol": symbol}


def save(net: DeepRect, folder: Path) -> None:
    """Write what the other contenders load."""
    from deeprect_gluon.export import export_onnx

    np.savez(
        folder / "weights.npz", **{n: p.data().asnumpy() for n, p in net.collect_params().items()}
    )
    (folder / "architecture.json").write_text(json.dumps(describe(net)))
    export_onnx(net, folder / "net")


def load(request: dict):
    folder = Path(request["load"])
    net = get_model(**request["config"], fast=sys.argv[1] == "fused")
    training = request["mode"] == "training"
    if not training:
        net.collect_params().setattr("grad_req", "null")
    net.initialize(MSRA(rectifier_slopes(net), seed=1))
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.array(np.load(folder / "x.npy"))
    np.save(folder / "y.npy", net(x).asnumpy())
    if request.get("save"):
        save(net, folder)
    if not training:
        return lambda: net(x).wait_to_read()

    loss, label = mx.gluon.loss.SoftmaxCrossEntropyLoss(), mx.nd.zeros((len(x),))
    optimizer = "fusedsgd" if sys.argv[1] == "fused" else "sgd"
    settings = {"learning_rate": 1e-9, "momentum": 0.9}
    trainer = mx.gluon.Trainer(net.collect_params(), optimizer, settings, kvstore=None)

    def step():
        with mx.autograd.record():
            value = loss(net(x), label)
        value.backward()
        trainer.step(len(x))
        mx.nd.waitall()

    return step


native.keep_memory()
serve(load)
