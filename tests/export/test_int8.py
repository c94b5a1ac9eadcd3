"""Quantisation by ONNX Runtime: close to the net, and small."""

import mxnet as mx
import numpy as np
import onnx
import pytest

from deeprect_gluon.export import export_int8, export_onnx, load_export, read_sidecar


def test_scores_stay_close_and_files_shrink(make_net, inputs, difference, tmp_path):
    net = make_net(width=0.25)
    x = inputs(net, 16)
    (path,) = export_int8(net, tmp_path / "net", [x[:8], x[8:]])
    (full,) = export_onnx(net, tmp_path / "full")
    assert path.stat().st_size < 0.35 * full.stat().st_size
    model = onnx.load(str(path))
    inner = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    assert all(made[name] == "DequantizeLinear" for node in inner for name in node.input)
    assert read_sidecar(tmp_path / "net").precision == "int8"
    fresh = inputs(net, 16, seed=1)
    expected = net(mx.nd.array(fresh)).asnumpy()
    assert 0 < difference(load_export(tmp_path / "net")(fresh), expected) < 0.1


def test_images_are_needed(net, tmp_path):
    with pytest.raises(ValueError, match="no inputs to measure activations on"):
        export_int8(net, tmp_path / "net", [])
    with pytest.raises(ValueError, match="no inputs"):
        export_int8(net, tmp_path / "net", [np.zeros((0, 1, 28, 28))])
    assert not list(tmp_path.iterdir())


def test_images_as_ndarrays_calibrate_like_those_of_numpy(net, inputs, tmp_path):
    x = inputs(net, 32)
    (first,) = export_int8(net, tmp_path / "numpy", [x])
    (second,) = export_int8(net, tmp_path / "mxnet", [mx.nd.array(x)])
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x[0], r"have shape \(1, 28, 28\); the net takes batches of shape \(N, 1, 28"),
        (lambda x: x[:, :, 1:], r"have shape \(4, 1, 27, 28\)"),
        (lambda x: np.where(x > 1, np.nan, x), "not finite"),
    ],
)
def test_images_that_cannot_calibrate_are_refused(net, inputs, tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        export_int8(net, tmp_path / "net", [wrong(inputs(net, 4))])
    assert not list(tmp_path.iterdir())
