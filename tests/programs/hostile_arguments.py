"""Call public functions with hostile arguments; print a line for each call.

Arguments: the number of the first call to do. Every call is right but for one argument. A line is
its number, "ok" or "bad", and what happened. An error is ok if it is of a type that the project
raises, has a message, and was raised by the project's code or operators, or by Gluon's for the call
of a block; a result is ok if it can be read.
"""

import atexit
import re
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
from PIL import Image

import deeprect_gluon as dg
import zoo
from deeprect_gluon import evaluation, export, images, initializer, models, nn, optimizer
from deeprect_gluon.data import fashion_mnist
from deeprect_gluon.images import Preprocess

import mxnet as mx  # isort: skip

ROOTS = [str(Path(dg.__file__).parent), str(Path(zoo.__file__).parent), __file__]
OPERATOR = re.compile("deeprect_(prelu|conv_prelu|dense|max_pool): ")
OWN_ERRORS = (ValueError, TypeError, LookupError, RuntimeError)
ones = mx.nd.ones
IMAGE = np.zeros((40, 40, 3), np.uint8)

HOSTILE = {
    "None": None,
    "a text": "é",
    "bytes": b"\xff",
    "-1": -1,
    "2.5": 2.5,
    "nan": float("nan"),
    "10**30": 10**30,
    "an empty list": [],
    "a list of texts": ["a", "b"],
    "an object": object(),
    "an array": np.ones((2, 2)),
    "an NDArray": ones((2, 2)),
    "an NDArray of one element": ones((1,)),
    "an NDArray without axes": mx.nd.array(1.0),
    "an NDArray without elements": mx.nd.array([]),
    "an NDArray of integers": ones((2, 3, 4, 4), dtype="int32"),
    "an array of mx.np": mx.np.ones((2, 2)),
    "a Symbol": mx.sym.var("é"),
    "a place that is read-only": Path("/proc/here"),
}


def initialized():
    net = models.get_model(
        "deeprect_a", classes=3, input_size=32, pyramid=(1,), hidden=(4,), width=0.05
    )
    net.initialize()
    net.preprocess = Preprocess(32, (0.5,) * 3, (0.2,) * 3)
    return net


def built(make, shape):
    """Return a function that makes a block and calls it."""

    def call(**arguments):
        block = make(**arguments)
        block.initialize()
        return block(ones(shape))

    return call


def called(block):
    block.initialize()
    return lambda x: block(x)


NET = initialized()
FAST = dg.accelerate(NET)
FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER)
EXPORTED, PICTURE = FOLDER / "exported", FOLDER / "picture.png"
export.export(NET, EXPORTED)
Image.fromarray(IMAGE).save(PICTURE)
MAP = (2, 3, 6, 6)
PROBABILITIES = np.eye(4)
# Each: the function, and arguments that are right.
CALLS = {
    "prelu": (dg.prelu, {"data": ones(MAP), "alpha": ones(3), "axis": 1}),
    "conv_prelu": (
        dg.conv_prelu,
        {
            **{"data": ones(MAP), "weight": ones((4, 3, 3, 3)), "bias": ones(4)},
            **{"alpha": ones(4), "pad": 1},
        },
    ),
    "dense": (dg.dense, {"data": ones((2, 5)), "weight": ones((3, 5)), "bias": ones(3)}),
    "max_pool": (dg.max_pool, {"data": ones(MAP), "window": 2, "stride": 2}),
    "PReLU": (
        built(nn.PReLU, MAP),
        {"alpha_initializer": mx.init.One(), "shared": False, "in_channels": 3, "axis": 1},
    ),
    "ConvPReLU": (
        built(nn.ConvPReLU, MAP),
        {
            **{"channels": 4, "kernel_size": 3, "strides": 1, "padding": 1, "in_channels": 3},
            **{"activation": "prelu", "alpha_initializer": mx.init.One(), "fast": True},
        },
    ),
    "Dense": (
        built(nn.Dense, (2, 5)),
        {"units": 4, "activation": "relu", "in_units": 5, "fast": True},
    ),
    "MaxPool2D": (built(nn.MaxPool2D, MAP), {"pool_size": 2, "strides": 2, "fast": True}),
    "SpatialPyramidPooling": (
        built(nn.SpatialPyramidPooling, MAP),
        {"pyramid": (2, 1), "map_size": 6, "fast": True},
    ),
    "a call of PReLU": (called(nn.PReLU(in_channels=3)), {"x": ones(MAP)}),
    "a call of ConvPReLU": (called(nn.ConvPReLU(4, 3, in_channels=3)), {"x": ones(MAP)}),
    "a call of Dense": (called(nn.Dense(4, in_units=108)), {"x": ones(MAP)}),
    "a call of MaxPool2D": (called(nn.MaxPool2D(2)), {"x": ones(MAP)}),
    "a call of a net": (called(initialized()), {"x": ones((1, 3, 32, 32))}),
    "Config": (
        models.Config,
        {
            **{"name": "deeprect_a", "activation": "relu", "classes": 3, "in_channels": 3},
            **{"input_size": 64, "dropout": 0.5, "stem": "imagenet", "width": 1.0},
            **{"hidden": (4,), "pyramid": (2, 1)},
        },
    ),
    "get_model": (
        lambda **a: repr(type(models.get_model(**a))),
        {"name": "deeprect_a", "activation": "relu", "prefix": "p_", "fast": True},
    ),
    "summary": (models.summary, {"net": NET, "input_shape": (3, 32, 32)}),
    "load_weights": (models.load_weights, {"net": initialized(), "source": initialized()}),
    "MSRA": (initializer.MSRA, {"slope": 0.0, "fan": "in", "seed": 0, "stds": {}}),
    "rectifier_slopes": (initializer.rectifier_slopes, {"net": NET}),
    "paper_initializer": (initializer.paper_initializer, {"net": NET, "seed": 0}),
    "initialize": (
        initializer.initialize,
        {"net": initialized(), "rule": "msra", "fan": "in", "seed": 0},
    ),
    "variance_report": (
        initializer.variance_report,
        {"net": NET, "x": ones((1, 3, 32, 32)), "seed": 0},
    ),
    "center_view": (evaluation.center_view, {"net": NET, "image": IMAGE, "side": 40}),
    "ten_view": (evaluation.ten_view, {"net": NET, "image": IMAGE, "side": 40}),
    "dense_view": (
        evaluation.dense_view,
        {"net": NET, "image": IMAGE, "scales": (40,), "max_windows": 64, "tile": 64},
    ),
    "dense_probabilities": (
        evaluation.dense_probabilities,
        {"net": NET, "x": ones((1, 3, 40, 40)), "max_windows": 4, "tile": 4},
    ),
    "ensemble": (evaluation.ensemble, {"nets": [NET], "image": IMAGE}),
    "top_errors": (
        evaluation.top_errors,
        {"probabilities": PROBABILITIES, "labels": np.arange(4), "top": (1, 2)},
    ),
    "apply_multipliers": (
        optimizer.apply_multipliers,
        {"block": mx.gluon.SymbolBlock(2 * mx.sym.var("w"), mx.sym.var("w"))},
    ),
    "set_threads": (dg.native.set_threads, {"count": 1}),
    "accelerate": (dg.accelerate, {"net": NET, "epoch": 0, "inputs": ["data"], "ctx": mx.cpu()}),
    "a call of an accelerated net": (lambda x: FAST(x), {"x": ones((1, 3, 32, 32))}),
    "export": (
        export.export,
        {
            **{"net": NET, "path": FOLDER / "net", "portable": False, "inference": True},
            **{"half": False, "input_shape": (3, 32, 32), "inputs": ["data"]},
        },
    ),
    "export_onnx": (
        export.export_onnx,
        {"net": NET, "path": FOLDER / "onnx", "input_shape": (3, 32, 32), "half": False},
    ),
    "load_export": (export.load_export, {"path": EXPORTED}),
    "a loaded export": (
        export.load_export(EXPORTED).outputs,
        {"x": np.zeros((1, 3, 32, 32), np.float32)},
    ),
    "images.read": (images.read, {"source": PICTURE, "channels": 3}),
    "Preprocess": (
        lambda **a: Preprocess(**a)(IMAGE),
        {"size": 32, "mean": (0.5,) * 3, "std": (0.2,) * 3, "resize": 40, "border": False},
    ),
    "a call of a Preprocess": (NET.preprocess, {"images": IMAGE}),
    "center_crop": (images.center_crop, {"image": IMAGE, "size": 32}),
    "ten_crops": (images.ten_crops, {"image": IMAGE, "size": 32}),
    "fashion_mnist.load": (fashion_mnist.load, {"split": "test"}),
    "fashion_mnist.to_input": (
        fashion_mnist.to_input,
        {"images": np.zeros((2, 28, 28), np.uint8), "size": 28},
    ),
    "zoo.get_model": (
        lambda **a: repr(type(zoo.get_model(**a))),
        {
            **{"name": "deeprect_small14", "pretrained": True, "classes": 10},
            **{"activation": "prelu", "repo": None, "root": FOLDER},
        },
    ),
    "zoo.model_info": (
        zoo.model_info,
        {"name": "deeprect_small14", "weights": None, "activation": "prelu", "repo": None},
    ),
    "zoo.list_models": (zoo.list_models, {"filter": "*", "pretrained": True, "repo": None}),
}


def calls():
    for name, (function, arguments) in CALLS.items():
        yield f"{name} as it should be", function, arguments
        for argument in arguments:
            for what, value in HOSTILE.items():
                yield f"{name}({argument}={what})", function, {**arguments, argument: value}


def read(result):
    """Wait for a result, since MXNet reports errors late."""
    for value in result if isinstance(result, (list, tuple)) else [result]:
        if isinstance(value, mx.nd.NDArray):
            value.asnumpy()
    mx.nd.waitall()


def outcome(name, function, arguments):
    try:
        read(function(**arguments))
    except OSError as error:  # it names the file
        return "ok", f"{type(error).__name__}: {error}"
    except (mx.MXNetError, *OWN_ERRORS) as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        ours = last.startswith(tuple(ROOTS)) or OPERATOR.search(str(error)) or "call of" in name
        said = f"{type(error).__name__}: {str(error).splitlines()[-1] if str(error) else ''}"
        return ("ok" if ours and str(error) else f"bad, from {Path(last).name}"), said
    except BaseException as error:
        return "bad", f"{type(error).__name__}: {error}"
    return "ok", "a result"


if __name__ == "__main__":
    lines, sys.stdout = sys.stdout, sys.stderr  # MXNet prints when shapes do not fit
    for number, (name, function, arguments) in enumerate(calls()):
        if number < int(sys.argv[1]):
            continue
        print(f"{number}\t{name}", end="\t", flush=True, file=lines)
        verdict, said = outcome(name, function, arguments)
        print(verdict, " ".join(said.split()), sep="\t", flush=True, file=lines)
