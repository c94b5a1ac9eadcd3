"""ConvPReLU and the networks made of it, in every mode of Gluon; export and the inference pass."""

import mxnet as mx
import numpy as np
import pytest
from conv_prelu_reference import assert_close, expected, problem

from deeprect_gluon import export
from deeprect_gluon.models import get_model
from deeprect_gluon.nn import ConvPReLU


def block_of(case, pad=1, **options):
    x, weight, bias, alpha, _ = case
    block = ConvPReLU(
        len(weight),
        weight.shape[2],
        padding=pad,
        in_channels=x.shape[1],
        activation="prelu_shared" if len(alpha) == 1 else "prelu",
        **options,
    )
    block.initialize()
    for parameter, value in zip((block.weight, block.bias, block.alpha), case[1:4]):
        parameter.set_data(mx.nd.array(value))
    return block


MODES = {
    "imperative": None,
    "hybridized": {},
    "static": {"static_alloc": True, "static_shape": True},
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grad_req", ["write", "add"])
def test_block(mode, fast, grad_req):
    case = problem(np.random.default_rng(9), 2, 20, 35, (9, 11), 3, 1)
    block = block_of(case, fast=fast)
    block.collect_params().setattr("grad_req", grad_req)
    if MODES[mode] is not None:
        block.hybridize(**MODES[mode])
    x = mx.nd.array(case[0])
    x.attach_grad(grad_req)
    for _ in range(2):
        with mx.autograd.record():
            y = block(x)
        y.backward(mx.nd.array(case[4]))
    wanted = expected(*case, 1)
    times = 2 if grad_req == "add" else 1
    gradients = [x.grad, block.weight.grad(), block.bias.grad(), block.alpha.grad()]
    assert_close([y.asnumpy()], wanted[:1])
    assert_close([g.asnumpy() for g in gradients], [times * g for g in wanted[1:]])


@pytest.mark.parametrize("hybridize", [False, True])
def test_one_input_of_nine_blocks(hybridize):
    """MXNet adds up the gradients of a tensor with many consumers in another way."""

    class Fan(mx.gluon.nn.HybridSequential):
        def hybrid_forward(self, F, x):
            x = x * 1
            return F.add_n(*[block(x) for block in self._children.values()])

    case = problem(np.random.default_rng(9), 2, 4, 5, (6, 6), 3, 1)
    net = Fan()
    net.add(*[block_of(case, fast=True) for _ in range(9)])
    if hybridize:
        net.hybridize(static_alloc=True)
    x = mx.nd.array(case[0])
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
    y.backward(mx.nd.array(case[4]))
    assert_close([x.grad.asnumpy()], [9 * expected(*case, 1)[1]])


def test_one_block_used_twice():
    block = ConvPReLU(6, 3, padding=1, in_channels=6, fast=True)
    plain = ConvPReLU(6, 3, padding=1, in_channels=6, fast=False, params=block.collect_params())
    block.initialize(mx.init.Normal(0.3))
    x = mx.nd.random.normal(shape=(2, 6, 8, 8))
    gradients = []
    for b in (block, plain):
        with mx.autograd.record():
            loss = b(b(x)).sum()
        loss.backward()
        gradients.append([p.grad().asnumpy() for p in b.collect_params().values()])
    assert_close(*gradients)


def test_deferred_channels():
    block = ConvPReLU(7, 3, padding=1, fast=True)
    block.initialize()
    block.hybridize()
    assert block(mx.nd.ones((2, 5, 8, 8))).shape == (2, 7, 8, 8)
    assert block.weight.shape == (7, 5, 3, 3)


def test_float64_takes_the_plain_pair():
    case = problem(np.random.default_rng(12), 1, 4, 5, (6, 6), 3, 1)
    block = block_of(case, fast=True)
    block.cast("float64")
    y = block(mx.nd.array(case[0], dtype="float64"))
    assert y.dtype == np.float64
    assert_close([y.asnumpy()], expected(*case, 1)[:1], 1e-12)


@pytest.mark.parametrize("strides", [1, 2])
def test_other_kernels_take_the_plain_pair(strides):
    block = ConvPReLU(4, 7, strides, 3, in_channels=3, fast=True)
    block.initialize()
    assert block(mx.nd.ones((1, 3, 16, 16))).shape == (1, 4, 16 // strides, 16 // strides)


def small_net(fast, activation="prelu", dropout=0):
    return get_model(
        "deeprect_small14",
        activation=activation,
        fast=fast,
        in_channels=1,
        classes=10,
        stem="small_image",
        input_size=28,
        width=0.25,
        hidden=(32,),
        dropout=dropout,
    )


@pytest.mark.parametrize("activation", ["prelu", "prelu_shared", "relu"])
def test_networks_train_alike(activation, tmp_path):
    """Weights change between steps, and those of one net can be loaded into the other."""
    fast, plain = small_net(True, activation), small_net(False, activation)
    mx.random.seed(1)
    fast.initialize(mx.init.MSRAPrelu(slope=0))
    fast.save_parameters(str(tmp_path / "net.params"))
    plain.load_parameters(str(tmp_path / "net.params"))
    assert list(fast.collect_params()) == list(plain.collect_params())
    assert fast.config == plain.config
    x = mx.nd.random.normal(shape=(8, 1, 28, 28))
    label = mx.nd.arange(8)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    losses = []
    for net in (fast, plain):
        net.hybridize(static_alloc=True)
        trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.001})
        row = []
        for _ in range(4):
            with mx.autograd.record():
                value = loss(net(x), label)
            value.backward()
            trainer.step(8)
            row.append(value.mean().asscalar())
        losses.append(row)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    assert losses[0][-1] != losses[0][0]


@pytest.mark.parametrize("portable", [False, True])
def test_export(portable, tmp_path):
    net = small_net(True)
    net.initialize(mx.init.MSRAPrelu())
    x = mx.nd.random.normal(shape=(2, 1, 28, 28))
    y = net(x)
    symbol, params = export.export(net, tmp_path / "net", portable=portable)
    assert ("deeprect_conv_prelu" in symbol.read_text()) != portable
    again = mx.gluon.SymbolBlock.imports(str(symbol), ["data"], str(params))
    assert_close([again(x).asnumpy()], [y.asnumpy()], 1e-4)


def test_unknown_activation():
    with pytest.raises(ValueError, match="activation must be one of .*, got 'elu'"):
        ConvPReLU(4, 3, activation="elu")
