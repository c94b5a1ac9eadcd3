"""Slopes that are variables of a Symbol: their initial value and weight decay, and no other."""

import mxnet as mx
import numpy as np
import pytest

import deeprect_gluon as dg
from deeprect_gluon.operators import portable_operators
from deeprect_gluon.optimizer import apply_multipliers


def symbol(name, fused=False, **stated):
    data, alpha = mx.sym.var("data"), mx.sym.var(name, **stated)
    if fused:
        weight, bias = mx.sym.var("c_weight", shape=(4, 3, 3, 3)), mx.sym.var("c_bias", shape=(4,))
        return dg.conv_prelu(data, weight, bias, alpha)
    return dg.prelu(mx.sym.Convolution(data, num_filter=4, kernel=(3, 3), name="c"), alpha)


def module_of(net):
    module = mx.mod.Module(net, label_names=None)
    module.bind([("data", (2, 3, 5, 5))])
    module.init_params(mx.init.Xavier())
    module.init_optimizer(optimizer_params={"wd": 0.1})
    return module


def decay(module, name):
    optimizer = module._optimizer
    return optimizer._get_wd(next(i for i, n in optimizer.idx2name.items() if n == name))


@pytest.mark.parametrize("form", ["prelu", "conv_prelu", "portable"])
@pytest.mark.parametrize("name", ["p_gamma", "p_bias", "p_alpha", "p_weight", "slope"])
def test_slopes_start_at_a_quarter_and_do_not_decay(name, form):
    """By the name they started at 1 or 0, or ended with "Unknown initialization pattern"."""
    if form == "portable":
        with portable_operators():
            net = symbol(name)
    else:
        net = symbol(name, form == "conv_prelu")
    module = module_of(net)
    slopes = module.get_params()[0][name].asnumpy()
    np.testing.assert_array_equal(slopes, np.float32([0.25] * 4))
    assert decay(module, name) == 0
    assert decay(module, "c_weight") == 0.1


def test_what_the_user_states_stays():
    module = module_of(symbol("p_gamma", init=mx.init.Constant(0.5), wd_mult=2))
    assert (module.get_params()[0]["p_gamma"].asnumpy() == 0.5).all()
    assert decay(module, "p_gamma") == pytest.approx(0.2)


def test_imported_slopes_do_not_decay(tmp_path):
    """SymbolBlock ignores what the graph states."""
    net = mx.gluon.nn.HybridSequential(prefix="n_")
    with net.name_scope():
        net.add(mx.gluon.nn.Conv2D(4, 3, in_channels=3), dg.nn.PReLU(in_channels=4))
    net.initialize()
    net.hybridize()
    x = mx.nd.zeros((1, 3, 5, 5))
    net(x)
    net.export(str(tmp_path / "net"))
    files = str(tmp_path / "net-symbol.json"), str(tmp_path / "net-0000.params")
    block = mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])
    apply_multipliers(block)
    trainer = mx.gluon.Trainer(block.collect_params(), "fusedsgd", {"wd": 0.1, "momentum": 0.9})
    with mx.autograd.record():
        y = block(x)
    y.backward()
    trainer.step(1)
    slopes = block.collect_params()["n_prelu0_alpha"].data().asnumpy()
    np.testing.assert_array_equal(slopes, np.float32([0.25] * 4))
    with pytest.raises(TypeError, match="block must be a SymbolBlock, got a HybridSequential"):
        apply_multipliers(net)
