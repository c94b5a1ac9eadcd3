"""Runs graphs in MXNet and in ONNX Runtime."""

import mxnet as mx
import numpy as np
import onnx
import onnxruntime
import pytest

from deeprect_gluon.graph import Graph, from_symbol, to_block
from deeprect_gluon.graph.onnx import to_onnx


def fill(symbol, seed, **shapes):
    """Return values for all variables of a symbol but its inputs, from their inferred shapes."""
    random = np.random.default_rng(seed)
    arguments, _, states = symbol.infer_shape(**shapes)
    names = [*symbol.list_arguments(), *symbol.list_auxiliary_states()]
    arrays = {}
    for name, shape in zip(names, [*arguments, *states]):
        if name in shapes:
            continue
        values = random.standard_normal(shape)
        if name.endswith("var"):
            values = 0.5 + random.random(shape)
        elif len(shape) > 1 and "weight" in name:
            values /= np.sqrt(max(np.prod(shape[1:]), 1))
        arrays[name] = values.astype(np.float32)
    return arrays


def run_mxnet(graph, inputs):
    """Return the outputs of a graph, all of them, computed by MXNet for inference."""
    # Symbol.bind would first apply a pass of MXNet's that fails where a net adds a layer to itself.
    return to_block(graph).outputs(*(mx.nd.array(inputs[name]) for name in graph.inputs()))


def run_onnx(graph, inputs):
    """Return the outputs of a graph, translated to ONNX, in ONNX Runtime."""
    outputs = [f"y{i}" for i in range(len(graph.heads))]
    model, arrays = to_onnx(graph, {name: x.shape[1:] for name, x in inputs.items()}, outputs)
    for tensor in model.graph.initializer:
        tensor.raw_data = arrays[tensor.name].tobytes()
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(outputs, inputs)


def assert_close(found, expected, tolerance):
    """Compare outputs; the tolerance is a part of the largest value of each."""
    assert len(found) == len(expected)
    for y, reference in zip(found, expected):
        assert y.shape == reference.shape
        scale = max(np.abs(reference).max(initial=0), 1e-3)
        assert np.isfinite(reference).all()
        np.testing.assert_allclose(y, reference, rtol=0, atol=tolerance * scale)


@pytest.fixture
def graph_of():
    """Return a function from a symbol, a seed and the inputs' shapes to a graph with values."""

    def make(symbol, seed=0, **shapes) -> Graph:
        return from_symbol(symbol, fill(symbol, seed, **shapes))

    return make
