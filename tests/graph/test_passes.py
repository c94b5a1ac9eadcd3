"""Each pass on random nets: outputs stay the same, within the tolerance that it states."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon.acceleration import accelerated, to_fast_block
from deeprect_gluon.graph import from_symbol, infer_shapes, passes
from tests.graph import random_nets
from tests.graph.conftest import assert_close, fill, run_mxnet, run_onnx

# Besides the rounding that a pass states: sums of numbers that cancel.
TOLERANCE = {"simplify": 0, "fold_constants": 0, "constant_slopes": 1e-6, "fold_affine": 2e-5}


def graph_and_input(symbol, seed):
    shapes = {"data": random_nets.SHAPE}
    if "softmax_label" in symbol.list_arguments():
        shapes["softmax_label"] = (random_nets.SHAPE[0],)
    graph = from_symbol(symbol, fill(symbol, seed, **shapes))
    random = np.random.default_rng(seed)
    inputs = {name: random.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    return graph, inputs


@pytest.mark.parametrize("name", TOLERANCE)
@settings(max_examples=30, deadline=None)
@given(symbol=random_nets.nets(), seed=st.integers(0, 99))
def test_outputs_stay(name, symbol, seed):
    graph, inputs = graph_and_input(symbol, seed)
    expected = run_mxnet(graph, inputs)
    changed = getattr(passes, name)(graph)
    assert_close(run_mxnet(changed, inputs), expected, TOLERANCE[name])
    # The graph itself is unchanged.
    assert_close(run_mxnet(graph, inputs), expected, 0)


@settings(max_examples=60, deadline=None)
@given(symbol=random_nets.nets(), seed=st.integers(0, 99))
def test_accelerated_nets_are_equal(symbol, seed):
    graph, inputs = graph_and_input(symbol, seed)
    fast = accelerated(graph, mx.cpu())
    assert_close(run_mxnet(fast, inputs), run_mxnet(graph, inputs), 2e-4)
    block = to_fast_block(fast, mx.cpu())
    for _ in range(3):  # MXNet keeps layouts from the first pass
        found = block.outputs(*(mx.nd.array(inputs[name]) for name in fast.inputs()))
        assert_close(found, run_mxnet(graph, inputs), 2e-4)
    # Nothing that is left still waits for a pass.
    assert not any(node.op in ("Dropout", "_copy", "SoftmaxOutput") for node in fast.calls())


@settings(max_examples=60, deadline=None)
@given(symbol=random_nets.nets(), seed=st.integers(0, 99))
def test_onnx_is_equal(symbol, seed):
    graph, inputs = graph_and_input(symbol, seed)
    assert_close(run_onnx(graph, {"data": inputs["data"]}), run_mxnet(graph, inputs), 2e-4)


@settings(max_examples=30, deadline=None)
@given(symbol=random_nets.nets(), seed=st.integers(0, 99))
def test_half_weights_are_those_rounded(symbol, seed):
    graph, inputs = graph_and_input(symbol, seed)
    rounded = {
        name: array.astype(np.float16).astype(np.float32) if array.ndim > 1 else array
        for name, array in graph.arrays.items()
    }
    expected = run_mxnet(type(graph)(graph.heads, rounded), inputs)
    half = passes.halve_weights(graph)
    assert_close(run_mxnet(half, inputs), expected, 0)
    folded = passes.fold_constants(half)
    assert all(array.dtype == np.float32 for array in folded.arrays.values())
    assert_close(run_mxnet(folded, inputs), expected, 0)


@settings(max_examples=30, deadline=None)
@given(symbol=random_nets.nets(), seed=st.integers(0, 99))
def test_shapes_are_mxnet_s(symbol, seed):
    graph, inputs = graph_and_input(symbol, seed)
    shapes = infer_shapes(graph, {name: x.shape for name, x in inputs.items()})
    assert [shapes[head] for head in graph.heads] == [y.shape for y in run_mxnet(graph, inputs)]
