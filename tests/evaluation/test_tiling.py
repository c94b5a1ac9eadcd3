"""Layers in tiles, against the same layers on the whole image."""

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon.evaluation.tiling import Layer, run_in_tiles


@st.composite
def layers(draw):
    """A few convolutions and poolings of random geometry, on two channels."""
    result = []
    for _ in range(draw(st.integers(1, 5))):
        kernel = draw(st.integers(1, 5))
        stride = draw(st.integers(1, 3))
        if draw(st.booleans()):
            pad = draw(st.integers(0, kernel - 1))
            weight = draw(st.integers(0, 2**16))
            values = np.random.default_rng(weight).standard_normal((2, 2, kernel, kernel))
            weight = mx.nd.array(values)

            def run(x, w=weight, k=kernel, s=stride, p=pad):
                shape = {"kernel": (k, k), "stride": (s, s), "pad": (p, p)}
                return mx.nd.Convolution(x, w, num_filter=2, no_bias=True, **shape)
        else:
            pad = 0

            def run(x, k=kernel, s=stride):
                return mx.nd.Pooling(x, kernel=(k, k), stride=(s, s), pool_type="max")

        result.append(Layer(run, kernel, stride, pad))
    return result


@settings(max_examples=60, deadline=None)
@given(layers(), st.integers(1, 60), st.integers(1, 60), st.integers(1, 9), st.integers(0, 9))
def test_tiles_join_to_the_whole(net, height, width, tile, seed):
    sides = [height, width]
    for layer in net:
        sides = [(side + 2 * layer.pad - layer.kernel) // layer.stride + 1 for side in sides]
        if min(sides) < 1:
            return
    x = mx.nd.array(np.random.default_rng(seed).standard_normal((1, 2, height, width)))
    whole = x
    for layer in net:
        whole = layer.run(whole)
    tiled = run_in_tiles(net, x, tile)
    assert tiled.shape == whole.shape
    scale = np.abs(whole.asnumpy()).max()
    np.testing.assert_allclose(tiled.asnumpy(), whole.asnumpy(), atol=1e-5 * scale)
