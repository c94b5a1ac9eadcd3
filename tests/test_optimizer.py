"""The fused update, against NumPy in float64 and against MXNet's SGD."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deeprect_gluon as dg
from deeprect_gluon.initializer import MSRA
from deeprect_gluon.nn import ConvPReLU

SETTINGS = {"lr": 0.1, "wd": 5e-4, "momentum": 0.9, "rescale_grad": 1 / 128}


def arrays(size, seed=0):
    return np.random.default_rng(seed).standard_normal((3, size)).astype(np.float32)


def update(weight, grad, velocity, **changed):
    """Return weight and velocity after an update in place."""
    weight, grad, velocity = map(mx.nd.array, (weight, grad, velocity))
    given = {**SETTINGS, **changed}
    mx.nd.deeprect_sgd_update(weight, grad, velocity, out=[weight, velocity], **given)
    return weight.asnumpy(), velocity.asnumpy()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 200_000),
    st.integers(0, 99),
    st.floats(0, 1),
    st.floats(0, 0.1),
    st.floats(0, 1),
    st.floats(1e-3, 2),
)
def test_an_update_is_the_formula(size, seed, lr, wd, momentum, rescale_grad):
    w, g, v = arrays(size, seed)
    given = {"lr": lr, "wd": wd, "momentum": momentum, "rescale_grad": rescale_grad}
    weight, velocity = update(w, g, v, **given)
    w, g, v = (a.astype(np.float64) for a in (w, g, v))
    v = momentum * v - lr * (rescale_grad * g + wd * w)
    np.testing.assert_allclose(velocity, v, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weight, w + v, rtol=1e-5, atol=1e-5)


def test_bits_do_not_depend_on_threads():
    found = []
    try:
        for threads in (1, 2, 3):
            dg.native.set_threads(threads)
            found.append(update(*arrays(100_003)))
    finally:
        dg.native.set_threads(dg.native.physical_cores())
    for weight, velocity in found[1:]:
        np.testing.assert_array_equal(weight, found[0][0])
        np.testing.assert_array_equal(velocity, found[0][1])


def train(optimizer, steps=4, **more):
    """Return parameters and momentum of a net with large and small parameters after some steps."""
    net = mx.gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(ConvPReLU(64, 3, padding=1, in_channels=130), mx.gluon.nn.Dense(90, in_units=1024))
    net.initialize(MSRA(0.25, seed=3))
    net[1].weight.lr_mult, net[1].weight.wd_mult = 0.5, 2.0
    assert net[0].weight.data().size > 1 << 16 > net[0].alpha.data().size
    net.hybridize()
    settings = {"learning_rate": 0.05, "momentum": 0.9, "wd": 0.01, **more}
    trainer = mx.gluon.Trainer(net.collect_params(), optimizer, settings, kvstore=None)
    rng = np.random.default_rng(0)
    for step in range(steps):
        x = mx.nd.array(rng.standard_normal((2, 130, 4, 4)))
        with mx.autograd.record():
            loss = (net(x) ** 2).sum()
        loss.backward()
        trainer.set_learning_rate(0.05 / (step + 1))
        trainer.step(100)
        net(x).wait_to_read()  # inference between the steps may change layouts
    states = trainer._updaters[0].states
    values = [p.data().asnumpy() for p in net.collect_params().values()]
    return values, [s.asnumpy() for s in states.values() if s is not None]


@pytest.mark.parametrize("more", [{}, {"momentum": 0.0}, {"clip_gradient": 0.01}])
def test_a_training_is_that_of_mxnets_sgd(more):
    ours, theirs = train("fusedsgd", **more), train("sgd", **more)
    for got, wanted in zip(ours, theirs):
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_bad_arguments_are_named():
    w, g, v = map(mx.nd.array, arrays(10))
    for arguments, message in (
        ((w, g[:9], v), r"grad has shape \(9,\); it must be that of weight, \(10,\)"),
        ((w, g, v.astype("float64")), "velocity is float64; it must be float32"),
    ):
        with pytest.raises(mx.MXNetError, match=message):
            mx.nd.deeprect_sgd_update(*arguments, **SETTINGS)
    for changed, message in (
        ({"lr": "fast"}, "lr=fast is not supported; it must be a finite number"),
        ({"wd": float("nan")}, "wd=nan is not supported; it must be a finite number"),
        (
            {"clip_gradient": 0.5},
            "deeprect_sgd_update: unknown argument clip_gradient=0.5; it takes weight, grad, "
            "velocity, lr, wd, momentum and rescale_grad",
        ),
    ):
        with pytest.raises(mx.MXNetError, match=message):
            mx.nd.deeprect_sgd_update(w, g, v, **{**SETTINGS, **changed})
    with pytest.raises(mx.MXNetError, match="momentum is missing; it must be a finite number"):
        mx.nd.deeprect_sgd_update(w, g, v, lr=0.1, wd=0, rescale_grad=1)
