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

from zoo import deploy
from zoo.index import latest, title
from zoo.publishing.checkpoints import load_checkpoint
from zoo.store import DEFAULT, open_store

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "deploy_check.py"
# Those that need no process of their own.
HERE = [runtime for runtime in deploy.RUNTIMES if runtime[2] is not deploy.run_portable]


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


def test_a_difference_beyond_the_tolerance_is_an_error(published, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("deploy_check", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    arguments = [f"--repo={published}", "--images=4", "--calibration=8", "--rounds=1"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    monkeypatch.setattr(script, "check", lambda *args: deploy.check(*args, runtimes=HERE))
    monkeypatch.setitem(deploy.TOLERANCES, "int8", 0.0)
    assert script.main() == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if "TOO LARGE" in line]
    assert [row.split("|")[2].strip() for row in rows] == ["onnx-int8"]


@pytest.fixture(scope="module")
def exports(run, tmp_path_factory):
    net = load_checkpoint(run)
    path = tmp_path_factory.mktemp("exports") / "net"
    return net, deploy.export_forms(net, path, ("operator", "onnx"), half=True)


def test_another_net_s_exports_are_not_good(exports, make_run, tmp_path):
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
    other = load_checkpoint(make_run(tmp_path / "other", seed=9))
    assert not any(result.good for result in deploy.check(other, paths, x, labels, 1, HERE))
    assert not dataclasses.replace(results[0], difference=math.nan).good


def test_a_portable_export_with_our_operators_fails_without_this_package(exports):
    _, paths = exports
    x = np.zeros((1, 1, 28, 28), np.float32)
    with pytest.raises(RuntimeError, match="plain MXNet cannot run"):
        deploy.run_portable(paths["operator-float32"], x, 1)
