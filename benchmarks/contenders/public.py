"""A public net by one of MXNet's ways, by ours or by ONNX Runtime: inference only."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from protocol import serve

import deeprect_gluon as dg
from deeprect_gluon.export import export_onnx
from deeprect_gluon.graph import from_net, to_block
from deeprect_gluon.graph.passes import simplify

import mxnet as mx  # isort: skip
from public_nets import NETS, build  # isort: skip


def ours(net, x):
    block, data = dg.accelerate(net), mx.nd.array(x)
    return lambda: block(data).asnumpy()


def plain(net, x):
    net.hybridize(static_alloc=True, static_shape=True)
    data = mx.nd.array(x)
    return lambda: net(data).asnumpy()


def mkldnn(net, x):
    block, data = to_block(simplify(from_net(net)), backend="MKLDNN"), mx.nd.array(x)
    return lambda: block(data).asnumpy()


def onnx_runtime(net, x):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        (file, *_) = export_onnx(net, Path(folder) / "net", input_shape=x.shape[1:])
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"data": x})[0]


WAYS = {"ours": ours, "MXNet": plain, "MKLDNN": mkldnn, "ONNX Runtime": onnx_runtime}


def load(request: dict):
    folder = Path(request["load"])
    shape = (request["batch"], *NETS[request["net"]][1])
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    run = WAYS[sys.argv[1]](build(request["net"]), x)
    np.save(folder / "y.npy", run())
    return run


dg.native.keep_memory()
serve(load)
