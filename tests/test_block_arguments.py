"""Arguments of the blocks as fingers know them from Gluon: they work, or raise a clear error."""

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon.models import Config, get_model
from deeprect_gluon.nn import ConvPReLU, Dense, MaxPool2D, PReLU, SpatialPyramidPooling


def test_dense_takes_its_activation_second():
    """ "relu" became `fast`, and the layer had no activation."""
    block = Dense(3, "relu", in_units=2)
    block.initialize(mx.init.One())
    assert (block(mx.nd.array([[-1, -2]])).asnumpy() == 0).all()
    assert Dense(3, None, False, in_units=2).bias is None


def test_prelu_takes_its_initializer_first():
    """An initializer became `shared`."""
    block = PReLU(mx.init.Constant(0.1), in_channels=2)
    block.initialize()
    np.testing.assert_array_equal(block.alpha.data().asnumpy(), np.float32([0.1, 0.1]))


def test_pairs_of_equal_numbers_are_squares():
    block = ConvPReLU(3, (3, 3), (1, 1), (1, 1), in_channels=2)
    assert block.weight.shape == (3, 2, 3, 3)
    block.initialize()
    assert block(mx.nd.ones((1, 2, 5, 5))).shape == (1, 3, 5, 5)
    assert MaxPool2D((2, 2))(mx.nd.ones((1, 1, 4, 4))).shape == (1, 1, 2, 2)


REFUSED = [
    (lambda: PReLU(64), TypeError, "alpha_initializer must be an Initializer, got 64.*in_channels"),
    (lambda: PReLU(True), TypeError, "shared=True"),
    (lambda: PReLU(in_channels=-1), ValueError, "in_channels must be a whole number"),
    (lambda: ConvPReLU(3, (3, 2)), ValueError, r"kernel_size=\(3, 2\) is no square"),
    (lambda: ConvPReLU(3, 3, padding=(1, 0)), ValueError, r"padding=\(1, 0\) is no square"),
    (lambda: ConvPReLU(3, 3, 1, 1, 1), TypeError, "positional"),
    (lambda: ConvPReLU("3", 3), ValueError, "channels must be a whole number"),
    (lambda: ConvPReLU(3, 3, alpha_initializer=0.1), TypeError, "alpha_initializer"),
    (
        lambda: ConvPReLU(3, 3, fast="yes"),
        ValueError,
        "fast must be one of None, True, False, got 'yes'",
    ),
    (lambda: Dense(3, True), ValueError, "activation must be one of .*'relu'.*, got True"),
    (lambda: Dense(2.5), ValueError, "units must be a whole number of at least 1, got 2.5"),
    (lambda: MaxPool2D(3, 2, 1), TypeError, "positional"),
    (lambda: MaxPool2D(0), ValueError, "pool_size must be a whole number"),
    (lambda: SpatialPyramidPooling(2, 6), TypeError, "sequence of levels"),
    (lambda: SpatialPyramidPooling((2, 1.5), 6), ValueError, "got 1.5"),
    (lambda: Config("deeprect_a", hidden=32), ValueError, "hidden must be a sequence .* got 32"),
    (lambda: Config("deeprect_a", pyramid=2), ValueError, "pyramid must be a sequence .* got 2"),
    (lambda: Config("deeprect_a", hidden="32"), ValueError, "hidden must be a sequence"),
    (lambda: Config("deeprect_a", classes="ten"), ValueError, "classes .* got 'ten'"),
    (lambda: Config("deeprect_a", width=float("inf")), ValueError, "width must be positive"),
    (lambda: Config("deeprect_a", dropout="half"), ValueError, "dropout must be"),
    (lambda: get_model("deeprect_a", True), ValueError, "unknown activation True"),
    (lambda: get_model(3), ValueError, "unknown model 3"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_what_cannot_work_is_refused_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_huge_pyramid_level_is_refused_at_once():
    """The smallest image for it was looked for one pixel after the other."""
    with pytest.raises(ValueError, match="the smallest is 15999999999"):
        Config("deeprect_a", pyramid=[10**9])


def test_an_image_without_a_batch_axis():
    net = get_model("deeprect_a", input_size=32, pyramid=(1,), hidden=(4,), width=0.05)
    with pytest.raises(ValueError, match=r"takes a batch of images.* x.expand_dims\(0\)"):
        net(mx.nd.ones((3, 32, 32)))


def test_print_summary_of_a_net(capsys):
    """It ended with an IndexError where a vector was the output of a node."""
    net = mx.gluon.nn.HybridSequential()
    net.add(ConvPReLU(4, 3, in_channels=2, fast=True), ConvPReLU(4, 5, in_channels=4))
    net.add(Dense(3, fast=True, in_units=4), PReLU(in_channels=3))
    mx.viz.print_summary(net(mx.sym.var("data")), shape={"data": (1, 2, 7, 7)})
    assert "Total params" in capsys.readouterr().out
