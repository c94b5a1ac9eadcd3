"""Thin nets of the published depths, with slopes of either sign and biases."""

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon.images import Preprocess
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import get_model

CLASSES = ("hat", "cap", "beret", "fez", "toque")


def _make(name="deeprect_small14", activation="prelu", **config):
    small = {"input_size": 28, "stem": "small_image"} if "small" in name else {"input_size": 112}
    small.update(width=0.0625, hidden=(24, 16), classes=len(CLASSES))
    net = get_model(name, activation, **{**small, **config})
    net.initialize(MSRA(rectifier_slopes(net), seed=3))
    random = np.random.default_rng(5)
    for parameter in net.collect_params().values():
        if parameter.name.endswith(("alpha", "bias")):
            parameter.set_data(mx.nd.array(random.uniform(-0.3, 0.9, parameter.shape)))
    channels = net.config["in_channels"]
    net.classes = CLASSES
    net.preprocess = Preprocess(
        net.config["input_size"], channels * (0.4,), channels * (0.2,), border=True
    )
    return net


@pytest.fixture(scope="session")
def make_net():
    return _make


@pytest.fixture(scope="session")
def net():
    """A net that no test may change."""
    return _make(in_channels=1)


@pytest.fixture(scope="session")
def inputs():
    """Return a function from a net to a batch of random inputs."""

    def draw(net, batch=3, seed=0):
        size = net.config["input_size"]
        shape = (batch, net.config["in_channels"], size, size)
        return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)

    return draw


@pytest.fixture(scope="session")
def difference():
    """Return a function: the largest difference of two arrays, relative to the largest value."""

    def relative(found, expected):
        assert found.shape == expected.shape
        return np.abs(found - expected).max() / np.abs(expected).max()

    return relative
