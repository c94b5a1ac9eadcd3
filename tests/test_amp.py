"""MXNet's automatic mixed precision leaves nets with our operator whole."""

import re

import mxnet as mx
import numpy as np
import pytest
from mxnet.contrib import amp

import deeprect_gluon as dg


def small_net():
    net = mx.gluon.nn.HybridSequential()
    net.add(
        mx.gluon.nn.Conv2D(8, 3, in_channels=3),
        dg.nn.PReLU(),
        mx.gluon.nn.Dense(16),
        dg.nn.PReLU(shared=True),
        mx.gluon.nn.Dense(4),
    )
    mx.random.seed(1)
    net.initialize(mx.init.Normal(0.1))
    net.hybridize()
    return net


@pytest.fixture
def images():
    return mx.nd.array(np.random.default_rng(3).standard_normal((2, 3, 9, 9)))


# MXNet has no float16 matrix product on the CPU: here our operator alone is given float16.
ONLY_OURS = {"target_dtype_ops": ["deeprect_prelu"], "fp32_ops": ["Convolution", "FullyConnected"]}
TARGETS = [
    pytest.param({"target_dtype": "bfloat16"}, id="bfloat16"),
    pytest.param({"target_dtype": "float16", **ONLY_OURS}, id="float16"),
]


@pytest.mark.parametrize("target", TARGETS)
def test_convert_hybrid_block(target, images):
    net = small_net()
    want = net(images).asnumpy()
    converted = amp.convert_hybrid_block(net, ctx=mx.cpu(), **target)
    got = converted(images).astype("float32").asnumpy()
    np.testing.assert_allclose(got, want, atol=0.02 * np.abs(want).max())
    assert not np.array_equal(got, want)  # something did run in the lower precision


@pytest.mark.parametrize("target", ["float16", "bfloat16"])
def test_convert_symbol(target):
    """Check the types of the graph that a GPU runs: our operator takes float16, not bfloat16."""
    symbol = amp.convert_symbol(small_net()(mx.sym.Variable("data")), target_dtype=target)
    nodes = symbol.get_internals()
    _, types, _ = nodes.infer_type(data="float32")
    outputs = zip(nodes.list_outputs(), types)
    ours = [t for name, t in outputs if re.search(r"deeprect_prelu\d+_output$", name)]
    assert ours == [np.float16 if target == "float16" else np.float32] * 2


def test_the_operator_is_listed_once():
    for lists in (amp.lists.symbol_fp16, amp.lists.symbol_bf16):
        names = [n for key, value in vars(lists).items() if key.endswith("FUNCS") for n in value]
        assert names.count("deeprect_prelu") == 1


@pytest.mark.slow
def test_amp_init_for_bfloat16(run_program):
    run_program("amp_bfloat16")
