"""`grad_req="add"`: three backwards give three times the gradient, however the graph came to be."""

import mxnet as mx
import numpy as np
import pytest

import deeprect_gluon as dg
from deeprect_gluon import export

SHAPE = (2, 3, 7, 6)


def make_net(fast=True, deferred=False, params=None):
    """Return a net of ConvPReLU (two activations) and Dense; plain MXNet's without `fast`."""
    net = mx.gluon.nn.HybridSequential(prefix="net_", params=params)
    with net.name_scope():
        net.add(
            dg.nn.ConvPReLU(5, 3, 1, 1, in_channels=0 if deferred else 3, fast=fast),
            dg.nn.ConvPReLU(4, 2, in_channels=0 if deferred else 5, activation="relu", fast=fast),
            dg.nn.Dense(6, fast=fast, in_units=0 if deferred else 120),
        )
    return net


def values():
    rng = np.random.default_rng(3)
    return {
        name: mx.nd.array(rng.normal(0, 0.3, parameter.shape))
        for name, parameter in make_net().collect_params().items()
    }


def give_values(net):
    for name, value in values().items():
        net.collect_params()[name].set_data(value)


X = np.random.default_rng(4).standard_normal(SHAPE).astype("float32")
DY = np.random.default_rng(5).standard_normal((2, 6)).astype("float32")


def backwards(net, times=3):
    for _ in range(times):
        with mx.autograd.record():
            y = net(mx.nd.array(X))
        y.backward(mx.nd.array(DY))


@pytest.fixture(scope="module")
def expected():
    """Three times the gradients of the same net of MXNet's own layers."""
    net = make_net(fast=False)
    net.initialize()
    give_values(net)
    backwards(net, 1)
    return {name: 3 * p.grad().asnumpy() for name, p in net.collect_params().items()}


def accumulated(net):
    net.collect_params().setattr("grad_req", "add")
    backwards(net)
    return {name: p.grad().asnumpy() for name, p in net.collect_params().items()}


def ready(deferred=False, **hybridization):
    net = make_net(deferred=deferred)
    net.initialize()
    if deferred:
        net(mx.nd.array(X))
    give_values(net)
    if hybridization:
        net.hybridize(**hybridization)
    return net


def imperative(folder):
    return ready()


def imperative_after_a_deferred_first_call(folder):
    return ready(deferred=True)


def imperative_after_an_export(folder):
    net = ready()
    export.export(net, folder / "net", input_shape=SHAPE[1:])
    return net


def imperative_after_a_call_on_a_symbol(folder):
    net = ready()
    net(mx.sym.var("data"))
    return net


def hybridized_before(folder):
    return ready(active=True)


def static(folder):
    return ready(static_alloc=True, static_shape=True)


def hybridized_with_its_graph_built_for_write(folder):
    net = ready(static_alloc=True)
    backwards(net, 1)
    return net


def child_hybridized_again_after_its_parent(folder):
    net = ready(active=True)
    backwards(net, 1)
    net[0].hybridize()
    net[2].hybridize(static_alloc=True)
    return net


def second_net_of_the_same_parameters(folder):
    first = ready(active=True)
    backwards(first, 1)
    second = make_net(params=first.collect_params())
    second.hybridize()
    backwards(second, 1)
    return second


def _imported(folder, name="net", number=0):
    files = str(folder / f"{name}-symbol.json"), str(folder / f"{name}-{number:04}.params")
    return mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])


def exported_by_gluon(folder):
    net = ready(active=True)
    backwards(net, 1)
    net.export(str(folder / "net"))
    return _imported(folder)


def exported(folder):
    export.export(ready(), folder / "net", input_shape=SHAPE[1:])
    return _imported(folder)


def imported_and_hybridized(folder):
    block = exported(folder)
    block.hybridize(static_alloc=True, static_shape=True)
    return block


WAYS = [
    imperative,
    imperative_after_a_deferred_first_call,
    imperative_after_an_export,
    imperative_after_a_call_on_a_symbol,
    hybridized_before,
    static,
    hybridized_with_its_graph_built_for_write,
    child_hybridized_again_after_its_parent,
    second_net_of_the_same_parameters,
    exported_by_gluon,
    exported,
    imported_and_hybridized,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_gradient_is_the_sum_of_three_backwards(way, expected, tmp_path):
    actual = accumulated(way(tmp_path))
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(actual[name], gradient, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("grad_req", ["write", "add"])
def test_module(grad_req, expected):
    module = mx.mod.Module(ready()(mx.sym.var("data")), label_names=None)
    module.bind([("data", SHAPE)], for_training=True, inputs_need_grad=True, grad_req=grad_req)
    module.set_params(values(), {})
    for gradients in module._exec_group.grad_arrays:
        for gradient in gradients:
            gradient[:] = 0
    for _ in range(3):
        module.forward(mx.io.DataBatch([mx.nd.array(X)]), is_train=True)
        module.backward([mx.nd.array(DY)])
    for name, (gradient,) in zip(module._exec_group.param_names, module._exec_group.grad_arrays):
        wanted = expected[name] if grad_req == "add" else expected[name] / 3
        np.testing.assert_allclose(gradient.asnumpy(), wanted, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("hybridize", [False, True])
def test_two_blocks_of_one_weight(hybridize):
    net = mx.gluon.nn.HybridSequential()
    first = dg.nn.ConvPReLU(3, 3, 1, 1, in_channels=3, fast=True)
    net.add(
        first, dg.nn.ConvPReLU(3, 3, 1, 1, in_channels=3, fast=True, params=first.collect_params())
    )
    net.initialize(mx.init.Normal(0.3))
    net.hybridize(hybridize)
    x = mx.nd.array(X)
    gradients = []
    for times in (1, 3):
        net.collect_params().setattr("grad_req", "write" if times == 1 else "add")
        net.collect_params().zero_grad()
        for _ in range(times):
            with mx.autograd.record():
                y = net(x)
            y.backward()
        gradients.append([p.grad().asnumpy() for p in net.collect_params().values()])
    for one, three in zip(*gradients):
        np.testing.assert_allclose(three, 3 * one, rtol=1e-4, atol=1e-4)


def test_the_forward_copies_no_weight():
    """Weights are variables, which `identity` would copy in every forward."""
    graph = ready()(mx.sym.var("data")).tojson()
    assert graph.count('"op": "_copy"') == 3  # the data of each layer
    assert graph.count('"op": "expand_dims"') == 3 + 1  # the bias of each layer, slopes of one


def test_portable_operators_within_portable_operators():
    """A summary made within the context switched it off."""
    from deeprect_gluon.operators import portable_operators

    net = dg.models.get_model("deeprect_small14", stem="small_image", input_size=28, fast=True)
    with portable_operators():
        dg.models.summary(net)
        graph = net(mx.sym.var("data")).tojson()
    assert '"op": "deeprect_' not in graph
    assert '"op": "deeprect_' in net(mx.sym.var("data")).tojson()


# ---- the paper's nets, whose own graph is lighter while nothing accumulates ----


def small_net(fast=True):
    net = dg.models.get_model(
        "deeprect_small14", prefix="small_", fast=fast, classes=3, in_channels=1, input_size=28,
        stem="small_image", width=0.1, hidden=(5,), dropout=0.0,
    )  # fmt: skip
    net.initialize(mx.init.Xavier())
    random = np.random.default_rng(6)
    for parameter in net.collect_params().values():
        parameter.set_data(mx.nd.array(random.normal(0.1, 0.2, parameter.shape)))
    return net


def gradients(net, times=3):
    x = mx.nd.array(np.random.default_rng(7).standard_normal((2, 1, 28, 28)))
    for _ in range(times):
        with mx.autograd.record():
            y = net(x)
        y.backward()
    parameters = net.collect_params()
    return {name: p.grad().asnumpy() for name, p in parameters.items() if p.grad_req != "null"}


def own_graph(net):
    net.hybridize(static_alloc=True, static_shape=True)


def own_graph_built_for_write(net):
    own_graph(net)
    gradients(net, 1)


def within_another_net_built_for_write(net):
    outer = mx.gluon.nn.HybridSequential()
    outer.add(net)
    outer.hybridize()
    gradients(outer, 1)
    return outer


def exported_after_it_ran(net, folder):
    own_graph_built_for_write(net)
    net.export(str(folder / "net"))
    files = str(folder / "net-symbol.json"), ["data"], str(folder / "net-0000.params")
    return mx.gluon.SymbolBlock.imports(*files)


@pytest.mark.parametrize(
    "way", [own_graph, own_graph_built_for_write, within_another_net_built_for_write,
            exported_after_it_ran]
)  # fmt: skip
def test_a_net_of_the_paper_accumulates(way, tmp_path):
    expected = gradients(small_net(fast=False), 1)
    net = small_net()
    made = way(net, tmp_path) if way is exported_after_it_ran else way(net)
    net = made or net
    net.collect_params().setattr("grad_req", "add")
    net.collect_params().zero_grad()
    for name, gradient in gradients(net).items():
        scale = 3 * np.abs(expected[name]).max()
        # The fault would be a third of it; rounding grows through fourteen layers.
        np.testing.assert_allclose(gradient, 3 * expected[name], rtol=0, atol=5e-3 * scale)


def test_back_to_write_a_net_of_the_paper_overwrites():
    net = small_net()
    own_graph(net)
    once = gradients(net, 2)
    net.collect_params().setattr("grad_req", "add")
    gradients(net)
    net.collect_params().setattr("grad_req", "write")
    for name, gradient in gradients(net).items():
        np.testing.assert_array_equal(gradient, once[name])
