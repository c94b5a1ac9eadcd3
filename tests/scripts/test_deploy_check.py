"""The check of deployments: good exports pass in every runtime, others do not."""

import dataclasses
import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon import models
from deeprect_gluon.export import export_forms
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from zoo.index import dump, latest, title
from zoo.places import Folder
from zoo.store import DEFAULT, FILES, INDEX, open_store

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "deploy_check.py"

spec = importlib.util.spec_from_file_location("deploy_check", SCRIPT)
deploy = sys.modules["deploy_check"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(deploy)

# The runtimes that need no process of their own.
HERE = [runtime for runtime in deploy.RUNTIMES if runtime[2] is not deploy.run_portable]


@pytest.mark.release
def test_every_published_net_is_the_same_in_every_runtime():
    command = [sys.executable, "-W", "ignore", str(SCRIPT), "--images", "16", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    seen = {(model.strip(), form.strip(), runtime.strip()) for model, form, runtime, *_ in rows}
    titles = map(title, latest(open_store(DEFAULT).entries))
    assert seen == {
        (model, form, name)
        for model in titles
        for name, forms, _ in deploy.RUNTIMES
        for form in forms
    }


@pytest.fixture
def small_store(tmp_path):
    """Return the folder of a store with one of the published nets."""
    shipped, folder = open_store(DEFAULT), Folder(tmp_path / "store")
    (entry,) = (
        e for e in latest(shipped.entries) if title(e) == "deeprect_small14-relu-fashion_mnist"
    )
    folder.write(f"{FILES}/{entry['weights']['file']}", shipped.read(entry["weights"]))
    folder.write(INDEX, dump({"schema": 1, "entries": [entry]}))
    return folder.folder


def test_a_difference_beyond_the_tolerance_is_an_error(small_store, monkeypatch, capsys):
    check = deploy.check
    monkeypatch.setattr(deploy, "check", lambda *args: check(*args, runtimes=HERE))
    monkeypatch.setitem(deploy.TOLERANCES, "int8", 0.0)
    arguments = [f"--repo={small_store}", "--images=4", "--calibration=8", "--rounds=1"]
    assert deploy.main(arguments) == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if "TOO LARGE" in line]
    assert [row.split("|")[2].strip() for row in rows] == ["onnx-int8"]


def build(seed):
    """Return a narrow net with random weights."""
    config = {"classes": 10, "in_channels": 1, "input_size": 28, "stem": "small_image"}
    net = models.get_model("deeprect_small14", width=0.05, hidden=(16, 12), **config)
    net.initialize(MSRA(rectifier_slopes(net), seed=seed))
    return net


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Return a net, and the paths of its exports by their forms."""
    net = build(seed=0)
    path = tmp_path_factory.mktemp("exports") / "net"
    return net, export_forms(net, path, ("operator", "onnx"), half=True)


def test_another_net_s_exports_are_not_good(exports):
    net, paths = exports
    x = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)
    labels = net(mx.nd.array(x)).asnumpy().argmax(1)
    labels[0] += 1
    results = list(deploy.check(net, paths, x, labels, 1, HERE))
    assert [result.form for result in results] == [
        *("operator-float32", "operator-float16", "onnx-float32", "onnx-float16"),
        *("onnx-float32", "onnx-float16"),
    ]
    assert all((r.good, r.same_class, r.error) == (True, 1, 0.25) for r in results)
    assert all(result.seconds > 0 for result in results)
    others = deploy.check(build(seed=9), paths, x, labels, 1, HERE)
    assert not any(result.good for result in others)
    assert not dataclasses.replace(results[0], difference=math.nan).good


def test_a_portable_export_with_our_operators_fails_without_this_package(exports):
    _, paths = exports
    x = np.zeros((1, 1, 28, 28), np.float32)
    with pytest.raises(RuntimeError, match="plain MXNet cannot run"):
        deploy.run_portable(paths["operator-float32"], x, 1)
