"""Readers: files of every MXNet since 0.8, every spelling of arguments, and refusals."""

import json

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon.graph import from_net, from_symbol, load, named_arrays, read_symbol, to_symbol
from deeprect_gluon.graph.attributes import defaults, parse
from tests.graph import random_nets
from tests.graph.conftest import assert_close, fill, run_mxnet
from tests.graph.old_format import old_params, old_symbol

sym = mx.sym


def saved(folder, text, arrays, version=None):
    """Write a symbol and its parameters; return their common beginning."""
    (folder / "net-symbol.json").write_text(text)
    file = folder / "net-0003.params"
    if version is None:
        mx.nd.save(str(file), {name: mx.nd.array(array) for name, array in arrays.items()})
    else:
        file.write_bytes(old_params(arrays, version))
    return folder / "net"


@pytest.mark.parametrize("version", [None, 0, 1])
@settings(max_examples=20, deadline=None)
@given(symbol=random_nets.nets(), seed=st.integers(0, 99))
def test_files_of_old_and_new_versions_are_the_same_graph(tmp_path_factory, version, symbol, seed):
    shapes = {"data": random_nets.SHAPE}
    if "softmax_label" in symbol.list_arguments():
        shapes["softmax_label"] = (2,)
    graph = from_symbol(symbol, fill(symbol, seed, **shapes))
    text = symbol.tojson() if version is None else old_symbol(symbol)
    folder = tmp_path_factory.mktemp("old")
    again = load(saved(folder, text, named_arrays(graph, symbol), version), 3)
    random = np.random.default_rng(seed)
    inputs = {name: random.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    assert_close(run_mxnet(again, inputs), run_mxnet(graph, inputs), 0)
    # MXNet's own reader agrees.
    theirs = from_symbol(mx.sym.load_json(text), graph.arrays)
    assert_close(run_mxnet(theirs, inputs), run_mxnet(graph, inputs), 0)


@pytest.mark.parametrize("text", ["(3, 3)", "(3,3)", "[3, 3]", "[3,3]", "(3L, 3L)", " ( 3 , 3 ) "])
def test_every_spelling_of_a_tuple(text):
    assert parse("Convolution", "kernel", text) == (3, 3)
    # MXNet reads the same.
    symbol = mx.sym.Convolution(sym.var("data"), kernel=text, num_filter=2)
    assert symbol.infer_shape(data=(1, 1, 5, 6))[1] == [(1, 2, 3, 4)]


def test_every_spelling_of_other_values():
    for text in ("True", "true", "1"):
        assert parse("Convolution", "no_bias", text) is True
    for text in ("False", "false", "0"):
        assert parse("Convolution", "no_bias", text) is False
    assert parse("Convolution", "stride", "()") == ()
    assert parse("Convolution", "layout", "None") is None
    assert parse("slice_axis", "end", "None") is None
    assert parse("slice", "begin", "(None, 2)") == (None, 2)
    assert parse("clip", "a_min", "-1e-3") == -1e-3
    assert parse("deeprect_conv_prelu", "pad", "2") == 2
    assert defaults("BatchNorm")["fix_gamma"] is True
    with pytest.raises(ValueError, match="Convolution has kernel='x', where it takes: Shape"):
        parse("Convolution", "kernel", "x")


def test_hints_of_version_0_8_keep_their_meaning(tmp_path):
    weight = sym.var("w", lr_mult=3.0, wd_mult=0.5)
    symbol = sym.FullyConnected(sym.var("data"), weight, num_hidden=2, no_bias=True)
    (tmp_path / "net-symbol.json").write_text(old_symbol(symbol))
    again = read_symbol(tmp_path / "net-symbol.json")
    hints = again.attr_dict()["w"]
    assert (hints["__lr_mult__"], hints["__wd_mult__"]) == ("3.0", "0.5")


def test_a_graph_of_a_live_net_is_what_the_net_computes():
    net = mx.gluon.model_zoo.vision.mobilenet_v2_0_25()
    net.initialize(mx.init.Xavier())
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    expected = net(mx.nd.array(x)).asnumpy()
    assert_close(run_mxnet(from_net(net), {"data": x}), [expected], 0)


def test_a_net_without_values_is_refused():
    net = mx.gluon.nn.Dense(3)
    net.initialize()
    with pytest.raises(ValueError, match="weight of dense.* has no value yet; initialise the net"):
        from_net(net)


def test_control_flow_is_refused_by_name():
    class Loop(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return F.contrib.foreach(lambda a, s: (a + s, a + s), x, F.sum(x, axis=0))[0]

    with pytest.raises(ValueError, match=r"\(_foreach\) has a graph of its own"):
        from_net(Loop())


@pytest.fixture
def files(tmp_path):
    symbol = sym.FullyConnected(sym.var("data"), num_hidden=3, name="fc")
    symbol = sym.SoftmaxOutput(symbol, name="softmax")
    arrays = {"arg:fc_weight": np.ones((3, 4), "f"), "arg:fc_bias": np.zeros(3, "f")}
    return symbol, arrays, tmp_path


def test_missing_and_surplus_parameters_are_named(files):
    symbol, arrays, folder = files
    prefix = saved(folder, symbol.tojson(), {"arg:fc_bias": arrays["arg:fc_bias"]})
    with pytest.raises(ValueError, match=r"net-0003.params has no fc_weight, which .* needs"):
        load(prefix, 3)
    prefix = saved(folder, symbol.tojson(), {**arrays, "aux:more": np.ones(2, "f")})
    with pytest.raises(ValueError, match=r"has more, which .*net-symbol.json does not know"):
        load(prefix, 3)
    with pytest.raises(FileNotFoundError):
        load(prefix, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["nodes"][3].update(op="nobody"), "'fc' .nobody.: .*nobody"),
        (lambda c: c["nodes"][3]["attrs"].update(nonsense="1"), "nonsense"),
        (lambda c: c["nodes"][3]["inputs"].append([0, 0, 0]), "requires 3, provided 4"),
        (lambda c: c["nodes"][3]["inputs"].pop(), "has 2 inputs; it takes 3"),
        (lambda c: c["nodes"][3]["inputs"][0].__setitem__(1, 1), "takes output 1 of node 0"),
        (lambda c: c["nodes"][3]["inputs"][0].__setitem__(0, 3), "takes output 0 of node 3"),
        (lambda c: c["heads"][0].__setitem__(1, 5), "a head takes output 5"),
        (lambda c: c.update(heads=[]), "no heads"),
        (lambda c: c["nodes"][0].update(inputs=[[0, 0, 0]]), "node 0"),
        (lambda c: c["nodes"][3].update(subgraphs=[{}]), "graph of its own"),
        (lambda c: c["nodes"][3].update(name=7), "other than texts"),
        (lambda c: c.update(nodes=7), "is no symbol of MXNet"),
        (lambda c: c.clear(), "is no symbol of MXNet"),
    ],
)
def test_a_damaged_symbol_is_refused(files, change, message):
    symbol, _, folder = files
    content = json.loads(symbol.tojson())
    change(content)
    (folder / "net-symbol.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        read_symbol(folder / "net-symbol.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"nodes": [7], "heads": []}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "net-symbol.json").write_text(text)
    with pytest.raises(ValueError, match="net-symbol.json is no symbol of MXNet"):
        read_symbol(tmp_path / "net-symbol.json")


def test_a_written_symbol_knows_shapes_types_and_states():
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(3, 2), mx.gluon.nn.BatchNorm())
    net.initialize()
    net(mx.nd.zeros((1, 2, 5, 5)))
    graph = from_net(net)
    symbol = to_symbol(graph)
    assert len(symbol.list_auxiliary_states()) == 2
    hints = symbol.attr_dict()
    for name, array in graph.arrays.items():
        assert hints[name]["__shape__"] == str(array.shape)
        assert hints[name]["__dtype__"] == "0"
