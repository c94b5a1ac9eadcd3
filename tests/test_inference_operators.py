"""The operators that accelerated nets have, against float64 and MXNet."""

import json

import mxnet as mx
import numpy as np
import pytest
from instruction_sets import AVAILABLE

import deeprect_gluon  # noqa: F401

ONE = mx.nd.ones(1)


@pytest.mark.parametrize("isa", AVAILABLE)
def test_fused_convolutions_are_right_and_do_not_depend_on_threads(run_program, isa):
    report = json.loads(run_program("fused_conv", DEEPRECT_ISA=isa))
    assert report["isa"] == isa
    assert report["error"] < 5e-5
    assert len(set(report["digests"])) == 1


@pytest.mark.parametrize(
    ("shapes", "arguments", "message"),
    [
        ([(1, 2, 5)], {}, r"data has shape \(1, 2, 5\); it must be \(N, C, H, W\)"),
        ([(1, 2, 5, 5), (3, 4, 3, 3)], {}, r"for data of shape \(1, 2, 5, 5\) it must be"),
        ([(1, 2, 5, 5), (3, 2, 5, 5)], {}, "k from 2 to 3"),
        ([(1, 2, 5, 5), (3, 2, 65, 65)], {"algorithm": "direct"}, "k from 1 to 64"),
        ([(1, 2, 5, 5), (3, 2, 3, 3)], {"pad": 3}, "pad=3 does not fit"),
        ([(1, 2, 2, 5), (3, 2, 3, 3)], {}, r"pad=0 does not fit data of shape \(1, 2, 2, 5\)"),
        ([(1, 2, 5, 5), (3, 2, 3, 3), (2,)], {}, "bias has shape"),
        ([(1, 2, 5, 5), (3, 2, 3, 3), (3,), (2,)], {}, "alpha has shape"),
        ([(1, 2, 5, 5), (3, 2, 3, 3), (3,), (1,), (1, 3, 4, 3)], {"added": True}, "summand has"),
        ([(1, 2, 5, 5), (3, 2, 3, 3), (3,), (1,), (1,), (2,)], {"scaled": True}, "scale has"),
        ([(1, 2, 5, 5), (3, 2, 3, 3)], {"algorithm": "fft"}, "algorithm=fft is not supported"),
        ([(1, 2, 5, 5), (3, 2, 3, 3)], {"stride": 2}, "unknown argument stride=2"),
    ],
)
def test_a_wrong_fused_convolution_is_refused(shapes, arguments, message):
    # What a case does not name is right.
    rest = [(1, 2, 5, 5), (3, 2, 3, 3), (3,), (1,)][len(shapes) :]
    arrays = [mx.nd.ones(shape) for shape in [*shapes, *rest]]
    with pytest.raises(mx.MXNetError, match=f"deeprect_fused_conv: .*{message}"):
        mx.nd.deeprect_fused_conv(*arrays, **arguments).wait_to_read()


def test_training_through_it_is_refused():
    x = mx.nd.ones((1, 2, 5, 5))
    x.attach_grad()
    with mx.autograd.record():
        y = mx.nd.deeprect_fused_conv(x, mx.nd.ones((3, 2, 3, 3)), mx.nd.ones(3), ONE)
    y.backward()
    with pytest.raises(mx.MXNetError, match="has no gradient; train the net that was accelerated"):
        x.grad.wait_to_read()


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_depth_to_space_is_mxnets(block):
    random = np.random.default_rng(block)
    x = mx.nd.array(random.standard_normal((2, 3 * block * block, 5, 7)))
    y = mx.nd.deeprect_depth_to_space(x, block_size=block)
    np.testing.assert_array_equal(y.asnumpy(), mx.nd.depth_to_space(x, block).asnumpy())


def test_depth_to_space_of_too_few_channels_is_refused():
    with pytest.raises(mx.MXNetError, match="with C a multiple of 9"):
        mx.nd.deeprect_depth_to_space(mx.nd.ones((1, 8, 2, 2)), block_size=3).wait_to_read()
