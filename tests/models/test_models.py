"""The published architectures: sizes, counts, configurations and the modes of Gluon."""

import json

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import ARCHITECTURES, Config, get_model, model_names, summary

# Computed by hand from the paper's tables: parameters of the ReLU net, channel-wise slopes.
PARAMETERS = {
    "deeprect_small14": (74_993_896, 10_304),
    "deeprect_small30": (79_192_296, 14_400),
    "vgg19": (143_667_240, 13_696),
    "deeprect_a": (178_017_384, 14_688),
    "deeprect_b": (183_327_080, 15_968),
    "deeprect_c": (330_603_368, 20_576),
}
# Weight layers with a rectifier after them, each with one shared slope.
RECTIFIERS = {
    "deeprect_small14": 13,
    "deeprect_small30": 29,
    "vgg19": 18,
    "deeprect_a": 18,
    "deeprect_b": 21,
    "deeprect_c": 21,
}
# Table 3, in multiply-adds.
COMPLEXITY = {"vgg19": 1.96e10, "deeprect_a": 1.90e10, "deeprect_b": 2.32e10, "deeprect_c": 5.30e10}


def tiny(name="deeprect_small14", **config):
    """A network of the published depth, thin enough to run in a test."""
    small = {"input_size": 28, "stem": "small_image"} if "small" in name else {"input_size": 112}
    small.update(width=0.0625, hidden=(24, 16), classes=5)
    net = get_model(name, **{**small, **config})
    net.initialize(MSRA(rectifier_slopes(net), seed=3))
    return net


def images(net, batch=2, seed=0):
    size = net.config["input_size"]
    shape = (batch, net.config["in_channels"], size, size)
    return mx.nd.array(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("name", model_names())
def test_parameter_counts_are_exactly_the_published_architecture_s(name):
    weights, slopes = PARAMETERS[name]
    assert summary(get_model(name, activation="relu")).parameters == weights
    assert summary(get_model(name, activation="prelu")).parameters == weights + slopes
    shared = summary(get_model(name, activation="prelu_shared")).parameters
    assert shared == weights + RECTIFIERS[name]


@pytest.mark.parametrize("name", COMPLEXITY)
def test_multiply_adds_agree_with_table_3(name):
    assert summary(get_model(name)).multiply_adds == pytest.approx(COMPLEXITY[name], rel=0.01)


@pytest.mark.parametrize("name", model_names())
def test_summary_counts_what_the_parameters_hold(name):
    net = tiny(name)
    held = sum(p.data().size for p in net.collect_params().values())
    assert summary(net).parameters == held


def test_maps_of_the_large_nets_have_the_sizes_of_table_3():
    rows = {layer.name: layer.output for layer in summary(get_model("deeprect_c")).layers}
    assert rows["conv1_1"] == (96, 112, 112)
    assert rows["conv2_6"] == (384, 56, 56)
    assert rows["conv3_6"] == (768, 28, 28)
    assert rows["conv4_6"] == (896, 14, 14)
    assert rows["fc1"] == (4096,)


def test_maps_of_the_small_nets_have_the_published_sizes():
    rows = {layer.name: layer.output for layer in summary(get_model("deeprect_small30")).layers}
    assert rows["conv2_4"] == (128, 36, 36)
    assert rows["conv3_22"] == (256, 18, 18)


@pytest.mark.parametrize("activation", ["prelu", "prelu_shared", "relu"])
@pytest.mark.parametrize("name", model_names())
def test_every_mode_of_gluon_gives_the_same_scores(name, activation, tmp_path):
    net = tiny(name, activation=activation, in_channels=2)
    x = images(net)
    scores = net(x).asnumpy()
    assert scores.shape == (2, 5)
    assert np.isfinite(scores).all()
    assert len({row.tobytes() for row in scores}) == 2
    net.hybridize(static_alloc=True, static_shape=True)
    np.testing.assert_allclose(net(x).asnumpy(), scores, rtol=1e-5, atol=1e-6)
    net.export(str(tmp_path / "net"))
    loaded = mx.gluon.SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )
    np.testing.assert_allclose(loaded(x).asnumpy(), scores, rtol=1e-5, atol=1e-6)


def test_features_and_output_make_the_net():
    net = tiny("deeprect_a")
    x = images(net)
    features = net.features(x)
    assert features.shape == (2, 16)
    np.testing.assert_array_equal(net.output(features).asnumpy(), net(x).asnumpy())


def test_config_rebuilds_the_same_net_by_way_of_json(tmp_path):
    net = tiny(activation="prelu_shared", pyramid=(3, 1), dropout=0.1)
    net.save_parameters(str(tmp_path / "net.params"))
    twin = get_model(**json.loads(json.dumps(net.config)))
    twin.load_parameters(str(tmp_path / "net.params"))
    assert twin.config == net.config
    assert list(twin.collect_params()) == list(net.collect_params())
    x = images(net)
    np.testing.assert_array_equal(twin(x).asnumpy(), net(x).asnumpy())


def test_published_trunk_runs_on_32_pixel_images():
    net = tiny("deeprect_a", input_size=32, pyramid=(2, 1))
    assert Config("deeprect_a", input_size=32, pyramid=(2, 1)).map_size() == 2
    assert net(images(net)).shape == (2, 5)


def test_small_image_stem_runs_the_stages_on_14_and_7_pixel_maps():
    net = get_model("deeprect_small14", stem="small_image", input_size=28, in_channels=1)
    rows = {layer.name: layer.output for layer in summary(net).layers}
    assert rows["conv1_1"] == (64, 28, 28)
    assert rows["conv2_4"] == (128, 14, 14)
    assert rows["conv3_6"] == (256, 7, 7)


def test_a_pyramid_of_a_billion_levels_is_refused_at_once():
    """The message names the smallest input, which was found by counting up to it."""
    with pytest.raises(ValueError, match="the smallest is 15999999999"):
        Config("deeprect_c", pyramid=(1_000_000_000,))


@pytest.mark.parametrize("name", model_names())
def test_smallest_input_is_admitted_and_one_pixel_less_is_refused(name):
    smallest = Config(name).smallest_input()
    assert Config(name, input_size=smallest).map_size() == max(Config(name).pyramid)
    with pytest.raises(ValueError, match=f"input_size={smallest - 1} is too small.*is {smallest} "):
        get_model(name, input_size=smallest - 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "deeprect_d"}, "unknown model 'deeprect_d'; did you mean 'deeprect_"),
        ({"activation": "tanh"}, "unknown activation 'tanh'"),
        ({"name": "deeprect_a", "stem": "small_image"}, "unknown stem for deeprect_a"),
        ({"classes": 0}, "classes must be a whole number of at least 1, got 0"),
        ({"in_channels": 1.5}, "in_channels must be a whole number"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
        ({"width": 0}, "width must be positive"),
        ({"hidden": (10, -1)}, "a hidden layer's size must be a whole number"),
        ({"pyramid": (0,)}, "a pyramid level must be a whole number"),
    ],
)
def test_bad_configurations_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        get_model(**{"name": "deeprect_small14", **config})


def test_an_image_of_another_size_is_refused():
    net = tiny()
    with pytest.raises(ValueError, match=r"images of shape \(3, 28, 28\).*\(1, 3, 32, 32\)"):
        net(mx.nd.zeros((1, 3, 32, 32)))


def test_names_are_found_in_any_case():
    assert get_model("DeepRect_A").config["name"] == "deeprect_a"


def test_dropout_acts_in_training_only():
    net = tiny(dropout=0.9)
    x = images(net)
    assert (net(x) == net(x)).asnumpy().all()
    with mx.autograd.train_mode():
        assert not (net(x) == net(x)).asnumpy().all()


def test_an_architecture_of_one_s_own_is_built_without_entering_the_table():
    a = ARCHITECTURES["deeprect_a"]
    table = {"mine": a._replace(stages=a.stages[:2])}
    net = get_model("mine", architectures=table, input_size=32, pyramid=(2, 1), width=0.1)
    assert sum(layer.name.startswith("conv") for layer in summary(net).layers) == 1 + 2 * 5
    assert (net.config["name"], "architectures" in net.config) == ("mine", False)
    assert "mine" not in model_names()
    with pytest.raises(ValueError, match="unknown model 'deeprect_a'; known: mine"):
        get_model("deeprect_a", architectures=table)
