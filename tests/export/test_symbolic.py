"""Exported nets give the same answers in a new process, with the operator library and without."""

import json
import os
import subprocess
import sys
import warnings

import mxnet as mx
import numpy as np
import pytest

import deeprect_gluon as dg
from deeprect_gluon.export import export, export_onnx, load_export

LOADER = """
import sys
import warnings
if sys.argv[1] == "operator":
    import deeprect_gluon
import mxnet as mx, numpy as np
path = sys.argv[2]
net = mx.gluon.SymbolBlock.imports(path + "-symbol.json", ["data"], path + "-0000.params")
np.save(path + "-y.npy", net(mx.nd.array(np.load(path + "-x.npy"))).asnumpy())
"""


def make_net():
    nn = mx.gluon.nn
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(nn.Conv2D(6, 3), dg.nn.PReLU(alpha_initializer=mx.init.Uniform(0.9)))
        net.add(nn.Conv2D(5, 3), dg.nn.PReLU(shared=True))
        # As many channels as columns: a slope on the wrong axis would go unnoticed by shapes.
        net.add(dg.nn.PReLU(axis=-1, alpha_initializer=mx.init.Uniform(0.9)))
        net.add(nn.Dropout(0.5), nn.Dense(7), dg.nn.PReLU(), nn.Dense(3))
    net.initialize(mx.init.Normal(0.5))
    return net


def run_elsewhere(form, path, tmp_path):
    """Load the export in a new process, in which the package exists only for form 'operator'."""
    empty = tmp_path / "empty"
    empty.mkdir(exist_ok=True)
    block = "import sys; sys.modules['deeprect_gluon'] = None\n" if form == "portable" else ""
    command = [sys.executable, "-c", block + LOADER, form, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    return done, f"{path}-y.npy"


@pytest.mark.parametrize("form", ["operator", "portable"])
def test_export_equals_the_net(tmp_path, form):
    net = make_net()
    x = mx.nd.random.normal(shape=(3, 2, 9, 9))
    y = net(x).asnumpy()
    path = tmp_path / "net"
    symbol, params = export(net, path, portable=form == "portable")
    assert (symbol.name, params.name) == ("net-symbol.json", "net-0000.params")
    operators = {node["op"] for node in json.loads(symbol.read_text())["nodes"]}
    assert ("deeprect_prelu" in operators) == (form == "operator")
    np.save(f"{path}-x.npy", x.asnumpy())
    done, answer = run_elsewhere(form, path, tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(answer), y, rtol=1e-5, atol=1e-6)


def test_gluons_own_export_works_too(tmp_path):
    net = make_net()
    x = mx.nd.random.normal(shape=(3, 2, 9, 9))
    net.hybridize()
    y = net(x).asnumpy()
    net.export(str(tmp_path / "net"))
    np.save(tmp_path / "net-x.npy", x.asnumpy())
    done, answer = run_elsewhere("operator", tmp_path / "net", tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(answer), y, rtol=1e-5, atol=1e-6)


def test_without_the_library_the_fast_form_says_what_is_missing(tmp_path):
    net = make_net()
    net(mx.nd.zeros((1, 2, 9, 9)))
    export(net, tmp_path / "net")
    np.save(tmp_path / "net-x.npy", np.zeros((1, 2, 9, 9), np.float32))
    done, _ = run_elsewhere("portable", tmp_path / "net", tmp_path)
    assert done.returncode != 0
    assert "deeprect_prelu" in done.stderr


def test_folder_must_exist(tmp_path):
    net = make_net()
    net(mx.nd.zeros((1, 2, 9, 9)))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        export(net, tmp_path / "nowhere" / "net")
    assert not list(tmp_path.iterdir())


def load_here(path):
    # SymbolBlock asks for types before it reads the parameters.
    warnings.simplefilter("ignore", UserWarning)
    return mx.gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")


@pytest.mark.parametrize("form", ["operator", "portable"])
def test_for_inference_dropout_and_copies_go_and_scores_stay(tmp_path, form):
    net = make_net()
    x = mx.nd.random.normal(shape=(3, 2, 9, 9))
    y = net(x).asnumpy()
    symbol, _ = export(net, tmp_path / "net", form == "portable", inference=True)
    nodes = json.loads(symbol.read_text())["nodes"]
    assert not {node["op"] for node in nodes} & {"Dropout", "_copy"}
    leaky = [node for node in nodes if node.get("attrs", {}).get("act_type") == "leaky"]
    assert len(leaky) == (form == "portable")  # one layer has a shared slope
    found = load_here(tmp_path / "net")(x).asnumpy()
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["operator", "portable"])
def test_half_weights_are_cast_in_the_graph(tmp_path, form):
    net = make_net()
    x = mx.nd.random.normal(shape=(3, 2, 9, 9))
    y = net(x).asnumpy()
    _, params = export(net, tmp_path / "net", form == "portable", half=True)
    for name, array in mx.nd.load(str(params)).items():
        assert array.dtype == (np.float16 if array.ndim > 1 else np.float32), name
    found = load_here(tmp_path / "net")(x).asnumpy()
    assert 0 < abs(found - y).max() < 2e-3 * abs(y).max()


def test_a_net_of_several_outputs(tmp_path):
    class Twice(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return F.tanh(x), [x + 1, x]

    export(Twice(), tmp_path / "net", input_shape=(3,))
    x = np.ones((2, 3), np.float32)
    outputs = load_export(tmp_path / "net").outputs(x)
    for y, expected in zip(outputs, [np.tanh(x), x + 1, x]):
        np.testing.assert_allclose(y, expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"the net has 3 outputs; use outputs\(\)"):
        load_export(tmp_path / "net")(x)


def test_both_outputs_of_a_node_keep_their_places(tmp_path):
    class Maxout(mx.gluon.HybridBlock):
        """A convolution whose halves compete."""

        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.conv = mx.gluon.nn.Conv2D(8, 3, in_channels=2)

        def hybrid_forward(self, F, x):
            a, b = F.split(self.conv(x), num_outputs=2, axis=1)
            return F.maximum(a, b) - 2 * b

    net = Maxout()
    net.initialize(mx.init.Normal(1))
    x = np.random.default_rng(0).standard_normal((3, 2, 6, 5)).astype(np.float32)
    expected = net(mx.nd.array(x)).asnumpy()
    for form in ({}, {"portable": True}, {"portable": True, "inference": True}):
        export(net, tmp_path / "net", input_shape=(2, 6, 5), **form)
        np.testing.assert_allclose(load_export(tmp_path / "net")(x), expected, rtol=1e-6)
    export_onnx(net, tmp_path / "net", input_shape=(2, 6, 5))
    np.testing.assert_allclose(load_export(tmp_path / "net")(x), expected, rtol=1e-4, atol=1e-4)


def test_batch_normalisation_keeps_its_states(tmp_path):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(4, 3), mx.gluon.nn.BatchNorm(), mx.gluon.nn.Activation("tanh"))
    net.initialize(mx.init.Normal(1))
    x = mx.nd.random.normal(shape=(3, 2, 6, 5))
    with mx.autograd.record():
        net(x)
    expected = net(x).asnumpy()
    export(net, tmp_path / "net", input_shape=(2, 6, 5))
    _, arguments, states = mx.model.load_checkpoint(str(tmp_path / "net"), 0)
    assert sorted(name.split("_", 1)[1] for name in states) == ["running_mean", "running_var"]
    np.testing.assert_array_equal(load_export(tmp_path / "net")(x.asnumpy()), expected)


def test_module_loads_a_net_whose_slopes_were_deferred(tmp_path):
    net = make_net()
    x = mx.nd.random.normal(shape=(2, 2, 7, 9))
    expected = net(x).asnumpy()
    export(net, tmp_path / "net", portable=True)
    module = mx.mod.Module.load(str(tmp_path / "net"), 0, label_names=None)
    module.bind([("data", x.shape)], for_training=False)
    module.forward(mx.io.DataBatch([x]), is_train=False)
    np.testing.assert_allclose(module.get_outputs()[0].asnumpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_a_net_of_another_type_than_float32_is_refused(tmp_path, dtype):
    net = mx.gluon.nn.Dense(2, in_units=3)
    net.initialize()
    net.cast(dtype)
    with pytest.raises(ValueError, match=f"weight is {dtype}; cast the net to float32"):
        export(net, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_an_operator_that_could_not_be_loaded_is_refused(tmp_path):
    with pytest.raises(ValueError, match="operator argsort, which load_export does not run"):
        export(mx.gluon.nn.HybridLambda("argsort"), tmp_path / "net")


def test_a_net_of_two_inputs_needs_both_names(tmp_path):
    class Sum(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, a, b):
            return a + b

    with pytest.raises(ValueError, match=r"cannot be traced with the inputs data: .*name all"):
        export(Sum(), tmp_path / "net")
    symbol, params = export(Sum(), tmp_path / "net", inputs=["a", "b"])
    block = mx.gluon.SymbolBlock.imports(str(symbol), ["a", "b"], str(params))
    assert block(mx.nd.ones(2), mx.nd.ones(2)).asnumpy().tolist() == [2, 2]
