"""ONNX exports against the net, in two runtimes that know nothing of MXNet."""

import builtins
import json

import cv2
import mxnet as mx
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import deeprect_gluon as dg
from deeprect_gluon.export import export_onnx, read_sidecar
from deeprect_gluon.models import model_names

TOLERANCE = 1e-5


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["scores"], {"data": x})[0]


def run_opencv(path, x):
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(x)
    return net.forward()


@pytest.mark.parametrize("activation", ["prelu", "prelu_shared", "relu"])
@pytest.mark.parametrize("name", model_names())
def test_every_architecture_gives_the_same_scores(
    name, activation, make_net, inputs, difference, tmp_path
):
    net = make_net(name, activation)
    (path,) = export_onnx(net, tmp_path / "net")
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    kinds = {node.op_type for node in model.graph.node}
    assert {"Conv", "MaxPool", "Flatten", "Concat", "Gemm"} <= kinds
    rectifier = {"prelu": "PRelu", "prelu_shared": "LeakyRelu", "relu": "Relu"}[activation]
    assert kinds & {"PRelu", "LeakyRelu", "Relu"} == {rectifier}
    assert "Dropout" not in kinds
    for batch in (1, 3):  # the size of the batch is free
        x = inputs(net, batch)
        expected = net(mx.nd.array(x)).asnumpy()
        assert difference(run(path, x), expected) < TOLERANCE
        assert difference(run_opencv(path, x), expected) < TOLERANCE


def test_real_images_give_the_same_scores(make_net, difference, tmp_path):
    net = make_net("deeprect_a")
    (path,) = export_onnx(net, tmp_path / "net")
    rows, columns = np.mgrid[:150, :190]
    picture = np.stack([rows, columns, (rows * columns) % 256], 2).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    x = net.preprocess(dg.images.read(tmp_path / "a.jpg")).asnumpy()
    expected = net(mx.nd.array(x)).asnumpy()
    assert difference(run(path, x), expected) < TOLERANCE
    assert difference(run_opencv(path, x), expected) < TOLERANCE


@settings(max_examples=12, deadline=None)
@given(
    channels=st.integers(2, 6), size=st.integers(2, 6), shared=st.booleans(), axis=st.sampled_from(
        [1, -1, 2]
    ), seed=st.integers(0, 99),
)  # fmt: skip
def test_slopes_belong_to_the_channel_axis(tmp_path_factory, channels, size, shared, axis, seed):
    # Also maps as wide as there are channels, where slopes on the wrong axis would pass unnoticed.
    net = mx.gluon.nn.HybridSequential(prefix="")
    net.add(dg.nn.PReLU(shared=shared, axis=axis, alpha_initializer=mx.init.Uniform(0.9)))
    net.add(mx.gluon.nn.Dense(3), dg.nn.PReLU(alpha_initializer=mx.init.Uniform(0.9)))
    mx.random.seed(seed)
    net.initialize(mx.init.Normal(0.5))
    x = np.random.default_rng(seed).standard_normal((2, channels, size, channels))
    expected = net(mx.nd.array(x)).asnumpy()
    path = tmp_path_factory.mktemp("slopes") / "net"
    (model,) = export_onnx(net, path, input_shape=x.shape[1:])
    found = run(model, x.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_large_parameters_go_into_a_file_of_their_own(net, inputs, difference, tmp_path, half):
    whole = export_onnx(net, tmp_path / "whole", half=half)
    files = export_onnx(net, tmp_path / "net", half=half, inline_limit=10_000)
    assert [file.name for file in files] == ["net.onnx", "net.onnx.data"]
    assert files[0].stat().st_size < whole[0].stat().st_size / 3
    assert [file.file for file in read_sidecar(tmp_path / "net").files] == [f.name for f in files]
    onnx.checker.check_model(str(files[0]), full_check=True)
    x = inputs(net)
    np.testing.assert_array_equal(run(files[0], x), run(whole[0], x))
    # The next export needs none, and leaves none behind.
    export_onnx(net, tmp_path / "net", half=half)
    assert not files[1].exists()
    assert difference(run(files[0], x), run(whole[0], x)) == 0


def test_half_weights_halve_the_file_and_stay_close(make_net, inputs, difference, tmp_path):
    net = make_net("deeprect_a")
    (full,) = export_onnx(net, tmp_path / "full")
    (half,) = export_onnx(net, tmp_path / "half", half=True)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    x = inputs(net)
    expected = net(mx.nd.array(x)).asnumpy()
    assert 0 < difference(run(half, x), expected) < 5e-3
    assert difference(run_opencv(half, x), run(half, x)) < TOLERANCE
    assert read_sidecar(tmp_path / "half").precision == "float16"


def test_weights_too_large_for_float16_are_refused(make_net, tmp_path):
    net = make_net()
    weight = net.features[0].weight
    weight.set_data(weight.data() * 1e6)
    with pytest.raises(ValueError, match="conv1_1_weight has values too large for float16"):
        export_onnx(net, tmp_path / "net", half=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("half", [False, True])
def test_other_types_than_float32_are_refused(tmp_path, half):
    net = mx.gluon.nn.Dense(2, in_units=3)
    net.initialize()
    net.cast("float16")
    with pytest.raises(ValueError, match="is float16; cast the net to float32"):
        export_onnx(net, tmp_path / "net", input_shape=(3,), half=half)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda nn: nn.HybridLambda("argsort"), "of the operator argsort, which is not translated"),
        (lambda nn: nn.BatchNorm(axis=2), "has axis=2; only 1 is translated"),
        (
            lambda nn: nn.HybridLambda(
                lambda F, x: F.contrib.AdaptiveAvgPooling2D(x, output_size=2)
            ),
            r"has output_size=\(2,\); only",
        ),
    ],
)
def test_what_is_not_translated_is_named(tmp_path, layer, message):
    net = mx.gluon.nn.HybridSequential()
    net.add(layer(mx.gluon.nn))
    net.initialize()
    net(mx.nd.zeros((1, 2, 7, 7)))
    with pytest.raises(ValueError, match=message):
        export_onnx(net, tmp_path / "net", input_shape=(2, 7, 7))
    assert not list(tmp_path.iterdir())


def test_the_input_s_shape_must_be_known(tmp_path):
    net = mx.gluon.nn.Dense(2, in_units=3)
    net.initialize()
    with pytest.raises(ValueError, match="does not know its input's shape; give input_shape"):
        export_onnx(net, tmp_path / "net")


def test_without_onnx_the_error_says_what_to_install(net, tmp_path, monkeypatch):
    true_import = builtins.__import__

    def without_onnx(name, *args, **kwargs):
        if name == "onnx":
            raise ImportError("no onnx")
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(ImportError, match=r"pip install 'deeprect_gluon\[onnx\]'"):
        export_onnx(net, tmp_path / "net")


def test_the_sidecar_says_what_the_model_is(net, tmp_path):
    export_onnx(net, tmp_path / "net")
    content = json.loads((tmp_path / "net.json").read_text())
    assert (content["form"], content["precision"]) == ("onnx", "float32")
    assert content["input_shape"] == [1, 28, 28]
