"""MXNet on a current Python and NumPy: what `deeprect_mxnet` gives it, and what it leaves alone.

Most tests hold on every Python, where MXNet needs no help too: the right values are the same.
"""

import importlib.util
import os
import subprocess
import sys
import warnings

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet.gluon.contrib.estimator import EarlyStoppingHandler

from deeprect_mxnet import patches

NEEDED = patches.needed()
needs_patches = pytest.mark.skipif(not NEEDED, reason="MXNet needs no patches here")


def run(program, *options, **environment):
    """Run a program in a fresh interpreter; return its exit status, output and messages."""
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        env={**os.environ, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("order", ["mxnet, deeprect_gluon", "deeprect_gluon, mxnet", "mxnet.gluon"])
def test_either_may_be_imported_first(order):
    assert run(f"import {order}") == (0, "", "")


def test_it_changes_nothing_where_mxnet_needs_no_help():
    patched = type(mx.__spec__.loader) is patches._Loader
    assert patched == (
        sys.version_info >= (3, 12) or np.lib.NumpyVersion(np.__version__) >= "1.24.0"
    )


@needs_patches
def test_numpy_and_the_modules_of_others_stay_as_they_are():
    program = """
import sys, numpy
before, loaded = dict(vars(numpy)), set(sys.modules)
import mxnet
changed = {name for name, value in vars(numpy).items() if before.get(name, value) is not value}
new = {name for name in set(vars(numpy)) - set(before) if f"numpy.{name}" not in sys.modules}
print(changed, new, [name for name in set(sys.modules) - loaded if "distutils" in name])
"""
    assert run(program)[1] == "set() set() []\n"


@needs_patches
def test_removed_names_stay_removed_for_others():
    gone = [name for name in patches._old_names() if not hasattr(np, name)]
    assert gone
    program = f"import mxnet, numpy; print([n for n in {gone} if hasattr(numpy, n)])"
    assert run(program)[1] == "[]\n"


def test_without_numpy_mxnet_can_still_be_looked_for():
    """A build in isolation has no NumPy, and does start with the `.pth` file of the environment."""
    program = (
        "import importlib.util, sys; sys.modules['numpy'] = None; import deeprect_mxnet;"
        "print(importlib.util.find_spec('mxnet') is not None)"
    )
    assert run(program) == (0, "True\n", "")


@pytest.mark.slow
def test_a_process_may_end_with_arrays_of_from_numpy_alive():
    program = (
        "import mxnet as mx, numpy as np;"
        "kept = [mx.nd.from_numpy(np.ones((4, 5))) for _ in range(100)];"
        "also = [x * 2 for x in kept]"
    )
    assert [run(program) for _ in range(10)] == [(0, "", "")] * 10


def test_arrays_of_from_numpy_are_freed():
    program = """
import gc, weakref, mxnet as mx, numpy as np
class Array(np.ndarray): pass
source = np.ones(5).view(Array)
seen = weakref.ref(source)
x = mx.nd.from_numpy(source)
del source
print(seen() is None)
del x
mx.nd.waitall(); gc.collect()
print(seen() is None)
"""
    assert run(program)[1] == "False\nTrue\n"


def test_warnings_of_mxnets_old_source_do_not_reach_the_user(tmp_path):
    """Python 3.12 and newer warn while they compile it; SciPy warns of a name that it uses."""
    program = "import mxnet as mx; mx.nd.array([1.0]); mx.nd.sparse.csr_matrix([[1.0]])"
    assert importlib.util.find_spec("scipy")
    options = ["-W", "default"] if NEEDED else []
    status, output, messages = run(program, *options, PYTHONPYCACHEPREFIX=str(tmp_path))
    assert (status, output) == (0, "")
    assert "mxnet" not in messages


def test_warnings_of_mxnet_reach_the_user():
    with pytest.warns(RuntimeWarning, match="mode no such mode is unknown"):
        EarlyStoppingHandler(mx.metric.Loss(), mode="no such mode")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from("iIlL"))
def test_numpy_integers_are_parameters_of_operators(shape, kind):
    sizes = tuple(np.array(shape, kind))
    assert mx.nd.ones((int(np.prod(shape)),)).reshape(sizes).shape == tuple(shape)
    symbol = mx.sym.reshape(mx.sym.var("x", shape=(np.prod(sizes),)), shape=sizes)
    assert symbol.infer_shape()[1] == [tuple(shape)]


def test_orthogonal_initialiser():
    weight = mx.nd.zeros((8, 4))
    mx.init.Orthogonal(scale=1)(mx.init.InitDesc("weight"), weight)
    weight = weight.asnumpy().astype(np.float64)
    np.testing.assert_allclose(weight.T @ weight, np.eye(4), atol=1e-6)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=9), st.binary())
def test_records_with_several_labels(labels, content):
    header = mx.recordio.IRHeader(0, np.array(labels, np.float32), 7, 0)
    read, rest = mx.recordio.unpack(mx.recordio.pack(header, content))
    np.testing.assert_array_equal(read.label, np.array(labels, np.float32))
    assert (read.flag, read.id, rest) == (len(labels), 7, content)


def test_records_of_images():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    header = mx.recordio.IRHeader(0, 3.0, 7, 0)
    record = mx.recordio.pack_img(header, image, quality=3, img_fmt=".png")
    np.testing.assert_array_equal(mx.recordio.unpack_img(record)[1], image)


@pytest.mark.parametrize(
    "metric", [mx.metric.Loss, lambda: mx.metric.CustomMetric(lambda _, p: p.sum())]
)
def test_metrics_add_up_beyond_24_bits(metric):
    metric = metric()
    for value in (2.0**24, 1.0, 1.0):
        metric.update([mx.nd.zeros(1)], [mx.nd.array([value])])
    assert metric.sum_metric == metric.global_sum_metric == 2**24 + 2


def test_numpy_interface():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    q, r = mx.np.linalg.qr(mx.np.array(x))
    np.testing.assert_allclose((q @ r).asnumpy(), x, atol=1e-6)
    assert mx.np.trapz(mx.np.array([1.0, 2.0, 4.0])) == 4.5
    assert mx.np.in1d(mx.np.array([1, 2]), mx.np.array([2])).tolist() == [False, True]
    assert mx.np.mean(mx.np.array(x), axis=np.int64(0)).shape == (3,)
    assert mx.np.rollaxis(mx.np.array(x), 1).shape == (3, 5)
    with pytest.raises((NotImplementedError, RuntimeError), match="numpy_financial"):
        mx.np.npv(0.1, mx.np.array([1.0]))


def test_saved_arrays_are_read_back(tmp_path):
    arrays = {kind: mx.nd.array([[1, 2, 3]], dtype=kind) for kind in ("float32", "float16", "int8")}
    mx.nd.save(str(tmp_path / "x"), arrays)
    for kind, array in mx.nd.load(str(tmp_path / "x")).items():
        assert np.dtype(array.dtype).name == kind
        assert array.asnumpy().tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("name", ["sgd", "nag", "adam", "rmsprop", "lamb", "lars", "ftrl"])
def test_optimizers_descend(name):
    weight, update = mx.nd.ones(3), mx.optimizer.get_updater(mx.optimizer.create(name))
    for _ in range(3):
        update(0, mx.nd.full(3, 0.5), weight)
    assert (weight.asnumpy() < 1).all()


def test_mixed_precision_converts_a_graph():
    symbol = mx.sym.FullyConnected(mx.sym.var("x"), num_hidden=4, name="dense")
    graph = mx.contrib.amp.convert_symbol(symbol)
    assert "amp_cast" in graph.tojson()


@pytest.mark.parametrize("mode", ["naive", "entropy"])
def test_quantisation_calibrates(mode):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(8, 3, activation="relu"), mx.gluon.nn.Dense(4))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    x = mx.nd.random.uniform(shape=(2, 3, 8, 8))
    expected = net(x).asnumpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own: of its new name, and of a type it cannot infer
        quantised = mx.contrib.quantization.quantize_net(
            net,
            calib_data=mx.io.NDArrayIter(x, batch_size=2),
            calib_mode=mode,
            num_calib_examples=2,
        )
    np.testing.assert_allclose(quantised(x).asnumpy(), expected, atol=0.05 * abs(expected).max())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_data_loaders_have_workers(method, tmp_path):
    program = f"""
import multiprocessing
import mxnet as mx, numpy as np
if __name__ == "__main__":
    multiprocessing.set_start_method("{method}")
    data = mx.gluon.data.ArrayDataset(np.arange(10, dtype="f"))
    loader = mx.gluon.data.DataLoader(data, 5, num_workers=2)
    print(sum(batch.sum().asscalar() for batch in loader))
"""
    path = tmp_path / "program.py"
    path.write_text(program)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "45.0\n"), done.stderr


def test_gluoncv_runs():
    gluoncv = pytest.importorskip("gluoncv")
    net = gluoncv.model_zoo.get_model("cifar_resnet20_v1")
    net.initialize()
    assert net(mx.nd.ones((1, 3, 32, 32))).shape == (1, 10)
