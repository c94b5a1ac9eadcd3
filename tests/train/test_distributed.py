"""Horovod: real ranks on this machine, launched by horovodrun."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deeprect_gluon.train import Workers

pytest.importorskip("horovod.mxnet", reason="Horovod could not be built on this machine")

PROGRAM = """
import sys
import numpy as np
import mxnet as mx
import deeprect_gluon as dg
from deeprect_gluon.data import Batches
from deeprect_gluon.train import TrainConfig, Workers, evaluate, fit

workers = Workers()
rng = np.random.default_rng(0)
images = rng.normal(size=(50, 2, 6, 6)).astype(np.float32)
labels = (images[:, 0].sum((1, 2)) > 0).astype(np.int32)
part = {"rank": workers.rank, "size": workers.size}
net = mx.gluon.nn.HybridSequential(prefix="net_")
with net.name_scope():
    net.add(mx.gluon.nn.Conv2D(6, 3), dg.nn.PReLU(), mx.gluon.nn.Dense(3))
mx.random.seed(1 + workers.rank)  # other values on each rank, until the first one's are broadcast
net.initialize(mx.init.Normal(0.3))
# A batch that two workers cannot share equally.
config = TrainConfig(epochs=2, batch_size=13, lr=0.05, weight_decay=0.01, report_every=1)
history = fit(net, Batches(images, labels, 13, True, **part), None, config, workers)
result = evaluate(net, Batches(images, labels, 16, **part), workers)
values = {k: v.data().asnumpy() for k, v in net.collect_params().items()}
np.savez(f"{sys.argv[1]}/{workers.size}-{workers.rank}.npz", **values, **result,
         history=[r.train_loss for r in history.rows])
"""


def launch(ranks: int, folder: Path) -> list:
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    if ranks > 1:
        horovodrun = Path(sys.executable).with_name("horovodrun")
        hosts = ["-np", str(ranks), "--gloo", "-H", f"localhost:{ranks}"]
        command = [sys.executable, str(horovodrun), *hosts, *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, timeout=240, env=environment, capture_output=True)
    return [np.load(folder / f"{ranks}-{rank}.npz") for rank in range(ranks)]


def test_two_ranks_train_as_one(tmp_path):
    (alone,) = launch(1, tmp_path)
    first, second = launch(2, tmp_path)
    for name in alone.files:
        if name == "history":
            continue
        assert (first[name] == second[name]).all(), name
        np.testing.assert_allclose(first[name], alone[name], rtol=1e-4, atol=1e-6)
    assert first["images"] == 50
    np.testing.assert_allclose(first["history"], alone["history"], rtol=1e-4)
    assert len(second["history"]) == 0


def test_horovod_may_be_imported_first():
    """Horovod makes libmxnet's symbols global; some have the names of functions in our library."""
    program = (
        "import horovod.mxnet, deeprect_gluon as dg, mxnet as mx;"
        "x = mx.nd.array([[-2, 3]]); alpha = mx.nd.array([0.5]); alpha.attach_grad();"
        "mx.autograd.set_recording(True); y = dg.prelu(x, alpha); y.backward();"
        "print(y.asnumpy().tolist(), alpha.grad.asscalar())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[[-1.0, 3.0]] -2.0\n"


def test_rank_without_horovod_refuses_to_train_alone(monkeypatch):
    monkeypatch.setenv("HOROVOD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "horovod.mxnet", None)
    with pytest.raises(RuntimeError, match="launched as one of several ranks"):
        Workers()


def test_alone_horovod_is_not_needed(monkeypatch):
    monkeypatch.delenv("HOROVOD_SIZE", raising=False)
    monkeypatch.setitem(sys.modules, "horovod.mxnet", None)
    workers = Workers()
    assert (workers.rank, workers.size, workers.is_first) == (0, 1, True)
    assert (workers.sum(np.arange(3.0)) == np.arange(3.0)).all()
