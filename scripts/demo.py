#!/usr/bin/env python
"""Show in ten minutes that initialisation decides whether a deep rectifier net learns.

Trains the 30-layer net with MSRA and with Xavier initialisation and the 14-layer net, on
Fashion-MNIST; publishes the 14-layer net into a local zoo, loads it back by name, classifies test
images with it, exports it and checks the export in a new process.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import zoo
from deeprect_gluon import native
from deeprect_gluon.data import fashion_mnist as data
from deeprect_gluon.export import export
from deeprect_gluon.initializer import initialize
from deeprect_gluon.train import Recipe, TrainConfig, Workers, fashion_mnist, train
from deeprect_gluon.train.report import loss_curves
from zoo.publishing.publish import publish

WIDTH = {"width": 0.25, "hidden": (256, 256)}
DEEP = TrainConfig(epochs=1, max_steps=300, report_every=10)
SMALL = TrainConfig(epochs=3, lr_drops=(2,))

# Run by a plain MXNet without this package (argument 'portable') or with it.
CHECK = """
import sys
if sys.argv[1] != "portable":
    import deeprect_gluon
import mxnet as mx, numpy as np
form, path = sys.argv[1:]
net = mx.gluon.SymbolBlock.imports(path + "-symbol.json", ["data"], path + "-0000.params")
saved = np.load(path + ".npz")
difference = abs(net(mx.nd.array(saved["x"])).asnumpy() - saved["y"]).max()
print(f"  {form}: largest difference {difference:.1e}")
sys.exit(not difference < 1e-4)
"""


def train_deep(folder: Path) -> dict[str, list]:
    """Train the 30-layer net twice, from the same seed but by different rules."""
    runs = {}
    for rule in ("msra", "xavier"):
        print(f"\n30-layer net, {rule} initialisation, {DEEP.max_steps} steps")
        model = {"name": "deeprect_small30", "activation": "relu", **WIDTH}
        recipe = Recipe(model, {"rule": rule, "fan": "in"}, {}, DEEP)
        task = dataclasses.replace(fashion_mnist.task(recipe, Workers()), validation=None)
        initialize(task.net, **recipe.init, seed=0)
        runs[rule] = train(task, DEEP, folder / f"deep-{rule}", Workers()).rows
    return runs


def train_small(folder: Path) -> list:
    print(f"\n14-layer net, {SMALL.epochs} epochs")
    model = {"name": "deeprect_small14", **WIDTH}
    recipe = Recipe(model, {"rule": "msra", "fan": "in"}, {}, SMALL)
    task = fashion_mnist.task(recipe, Workers())
    initialize(task.net, **recipe.init, seed=0)
    return train(task, SMALL, folder / "small14", Workers()).rows


def classify(net, count: int = 8) -> None:
    images, labels = data.load("test")
    chosen = np.random.default_rng(0).choice(len(images), count, replace=False)
    probabilities = net(net.preprocess(images[chosen, ..., None])).softmax().asnumpy()
    for i, p in zip(chosen, probabilities):
        best = int(p.argmax())
        mark = "right" if best == labels[i] else f"it is {data.CLASSES[labels[i]]}"
        print(f"  test image {i:5d}: {data.CLASSES[best]:<12} {p[best]:6.1%}  {mark}")


def verify_export(net, folder: Path) -> None:
    """Export in both forms and compare them with the net, each in a process of its own."""
    x = net.preprocess(data.load("test")[0][:64, ..., None])
    y = net(x)
    for form in ("operator", "portable"):
        path = folder / "export" / f"deeprect_small14-{form}"
        path.parent.mkdir(exist_ok=True)
        export(net, path, portable=form == "portable")
        np.savez(f"{path}.npz", x=x.asnumpy(), y=y.asnumpy())
        # From a folder where this package cannot be found by accident.
        with tempfile.TemporaryDirectory() as elsewhere:
            command = [sys.executable, "-W", "ignore", "-c", CHECK, form, str(path.resolve())]
            subprocess.run(command, cwd=elsewhere, check=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/demo"))
    folder = parser.parse_args(argv).output
    native.keep_memory()

    deep = train_deep(folder)
    figure = folder / "initialisation.png"
    loss_curves(deep, len(data.CLASSES), "30-layer net on Fashion-MNIST, ReLU", figure)
    small = train_small(folder)

    store = folder / "zoo"
    publish(folder / "small14", to=store)
    net = zoo.get_model("deeprect_small14", pretrained=True, repo=store)
    print("\nthe published net classifies:")
    classify(net)
    print("\nexports, each loaded in a new process:")
    verify_export(net, folder)

    print("\n| net | initialisation | steps | training loss | test error |")
    print("|---|---|---|---|---|")
    for rule, rows in deep.items():
        print(f"| 30 layers | {rule} | {rows[-1].step} | {rows[-1].train_loss:.4f} | |")
    last = small[-1]
    print(f"| 14 layers | msra | {last.step} | {last.train_loss:.4f} | {last.val_error:.2%} |")
    print(f"\nguessing costs ln 10 = {np.log(10):.4f}; the curves are in {figure}\nexport verified")


if __name__ == "__main__":
    main()
