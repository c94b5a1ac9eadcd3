"""Test the initialiser: the paper's standard deviations, and reproducible values."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet.gluon import nn
from scipy import stats

from deeprect_gluon.initializer import MSRA, paper_initializer, rectifier_slopes
from deeprect_gluon.models import get_model
from deeprect_gluon.nn import ConvPReLU, PReLU

# MSRA(slope=0.25, fan="out", seed=3) of "net_conv1_weight", shape (64, 48, 3, 3): the first values,
# with digits enough for float32, and the SHA-256 of all.
STORED = [-0.0750512779, 0.0254461244, -0.0294842422, 0.0294645652]
STORED_SHA256 = "a01cbd853c03cb1150db29a575f9f9b54c2c8df5a0150cb8a0a31b16c91cfc49"


def weight(init, name="w_weight", shape=(64, 32, 3, 3), dtype="float32"):
    arr = mx.nd.zeros(shape, dtype=dtype)
    init(mx.init.InitDesc(name), arr)
    return arr.asnumpy()


@settings(deadline=None, max_examples=60)
@given(
    out=st.integers(1, 900),
    channels=st.integers(1, 900),
    kernel=st.integers(1, 7),
    slope=st.floats(-1, 1),
    fan=st.sampled_from(["in", "out"]),
)
def test_std_is_equation_15(out, channels, kernel, slope, fan):
    n = kernel**2 * (channels if fan == "in" else out)
    # The variance condition itself: (1 + a^2) / 2 n Var[w] = 1.
    std = MSRA(slope, fan).std("w", (out, channels, kernel, kernel))
    assert (1 + slope**2) / 2 * n * std**2 == pytest.approx(1)


@pytest.mark.parametrize(
    ("filters", "printed"), [(64, 0.059), (128, 0.042), (256, 0.029), (512, 0.021)]
)
def test_std_of_the_paper_s_example(filters, printed):
    assert MSRA(fan="out").std("w", (filters, 3, 3, 3)) == pytest.approx(printed, abs=5e-4)


def philox(counter, key):
    """Philox4x32-10 of counters (N, 4) in NumPy."""
    c, k = counter.astype(np.uint64).T, key.astype(np.uint64)
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [p1 >> high ^ c[1] ^ k[0], p1 & low, p0 >> high ^ c[3] ^ k[1], p0 & low]
        k = (k + np.array([0x9E3779B9, 0xBB67AE85], np.uint64)) & low
    return np.stack(c, axis=1)


def box_muller(x, y):
    radius = np.sqrt(-2 * np.log(((x >> np.uint64(1)) + 0.5) / 2**31))
    angle = y * (2 * np.pi / 2**32)
    return radius * np.cos(angle), radius * np.sin(angle)


def test_reference_generator_gives_the_published_answer():
    words = philox(np.zeros((1, 4)), np.zeros(2))[0]
    assert [f"{w:08x}" for w in words] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize("size", [1, 63, 64, 5000])
def test_values_are_box_and_muller_s_of_philox(size):
    digest = hashlib.sha256(b"9 a_weight").digest()
    key = np.frombuffer(digest[:16], "<u4")
    counter = np.zeros((-(-size // 64) * 16, 4))
    counter[:, 0] = np.arange(len(counter))
    counter[:, 2:] = key[2:]
    words = philox(counter, key[:2])
    pairs = [*box_muller(words[:, 0], words[:, 1]), *box_muller(words[:, 2], words[:, 3])]
    # A tile of 64 values belongs to 16 counters: first their first normals, then their second ones.
    expected = np.stack(pairs, axis=1).reshape(-1, 16, 4).swapaxes(1, 2).ravel()[:size]
    std = MSRA().std("a_weight", (size, 1))
    values = weight(MSRA(seed=9), "a_weight", (size, 1)).ravel()
    np.testing.assert_allclose(values, std * expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fan", ["in", "out"])
def test_values_are_normal(fan):
    values = weight(MSRA(0.25, fan, seed=5), shape=(300, 200, 3, 3)).ravel()
    std = MSRA(0.25, fan).std("w", (300, 200, 3, 3))
    assert stats.kstest(values / std, "norm").pvalue > 1e-3
    assert abs(values.mean()) < 5 * std / np.sqrt(values.size)


def test_values_of_different_seeds_and_names_are_independent():
    shape = (2, 1 << 18)
    streams = [
        weight(MSRA(seed=1), "a_weight", shape)[0],
        weight(MSRA(seed=1), "a_weight", shape)[1],
        weight(MSRA(seed=2), "a_weight", shape)[0],
        weight(MSRA(seed=1), "b_weight", shape)[0],
    ]
    correlation = np.corrcoef(streams) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(shape[1])


def test_values_depend_on_seed_name_and_shape_only():
    first = {name: weight(MSRA(seed=7), name) for name in ("a_weight", "b_weight")}
    mx.random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    again = MSRA(seed=7)
    for name in ("b_weight", "a_weight", "b_weight"):
        np.testing.assert_array_equal(weight(again, name), first[name])


def test_the_values_are_fixed_for_good():
    """Compare with a stored sample: no machine and no later version may change a bit of it."""
    values = weight(MSRA(slope=0.25, fan="out", seed=3), "net_conv1_weight", (64, 48, 3, 3))
    np.testing.assert_array_equal(values.ravel()[:4], np.float32(STORED))
    assert hashlib.sha256(values.tobytes()).hexdigest() == STORED_SHA256


def test_number_of_threads_does_not_change_the_values(tmp_path):
    script = (
        "import deeprect_gluon, mxnet as mx, numpy as np, sys\n"
        "from deeprect_gluon.initializer import MSRA\n"
        "arr = mx.nd.zeros((700, 1000))\n"
        "MSRA(seed=4)(mx.init.InitDesc('a_weight'), arr)\n"
        "np.save(sys.argv[1], arr.asnumpy())\n"
    )
    path = tmp_path / "values.npy"
    one_core = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\n"
    root = str(Path(__file__).parent.parent)
    subprocess.run(
        [sys.executable, "-c", one_core + script, str(path)],
        check=True,
        env={**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": "17"},
    )
    np.testing.assert_array_equal(np.load(path), weight(MSRA(seed=4), "a_weight", (700, 1000)))


def test_other_types_hold_the_same_values_rounded():
    single = weight(MSRA(seed=2))
    np.testing.assert_array_equal(weight(MSRA(seed=2), dtype="float16"), single.astype("float16"))
    np.testing.assert_array_equal(weight(MSRA(seed=2), dtype="float64"), single.astype("float64"))


def test_deferred_initialisation_gives_the_values_of_a_known_shape():
    def build(**known):
        net = nn.HybridSequential(prefix="net_")
        with net.name_scope():
            net.add(nn.Conv2D(8, 3, in_channels=known.get("channels", 0)), PReLU())
            net.add(nn.Dense(4, in_units=known.get("units", 0)))
        net.initialize(MSRA(rectifier_slopes(net), seed=6))
        net(mx.nd.ones((1, 3, 5, 5)))
        return {name: p.data().asnumpy() for name, p in net.collect_params().items()}

    deferred, known = build(), build(channels=3, units=72)
    assert list(deferred) == list(known)
    for name in known:
        np.testing.assert_array_equal(deferred[name], known[name])
    assert (known["net_conv0_bias"] == 0).all()
    assert (known["net_prelu0_alpha"] == 0.25).all()


def test_works_by_name_and_as_the_initialiser_of_one_layer():
    layer = nn.Dense(50, in_units=40, weight_initializer=MSRA(1.0, seed=8), prefix="d_")
    layer.initialize(mx.init.Zero())
    expected = weight(MSRA(1.0, seed=8), "d_weight", (50, 40))
    np.testing.assert_array_equal(layer.weight.data().asnumpy(), expected)
    again = mx.init.create(MSRA(1.0, seed=8).dumps())
    np.testing.assert_array_equal(weight(again, "d_weight", (50, 40)), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MSRA(fan="avg"), "fan must be one of 'in', 'out', got 'avg'"),
        (lambda: MSRA(seed=-1), "seed must be a whole number of at least 0, got -1"),
        (lambda: MSRA(seed=0.5), "seed must be a whole number"),
        (lambda: weight(MSRA(), shape=(5,)), "'w_weight' has shape \\(5,\\)"),
        (lambda: weight(MSRA({"other": 0.0})), "no slope is given for 'w_weight'"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_slopes_come_from_the_activation_that_follows():
    net = nn.HybridSequential(prefix="n_")
    with net.name_scope():
        net.add(nn.Conv2D(4, 3, prefix="relu_"), nn.BatchNorm(), nn.Activation("relu"))
        net.add(nn.Conv2D(4, 3, prefix="leaky_"), nn.MaxPool2D(), nn.LeakyReLU(0.01))
        net.add(nn.Conv2D(4, 3, prefix="inside_", activation="relu"))
        net.add(nn.Conv2D(4, 3, prefix="linear_"))
        net.add(nn.Conv2D(4, 3, prefix="builtin_"), nn.PReLU())
        inner = nn.HybridSequential(prefix="")
        inner.add(nn.Dense(4, prefix="prelu_"), PReLU(alpha_initializer=mx.init.Constant(0.1)))
        net.add(inner, nn.Dense(2, prefix="last_"))
    expected = {"relu": 0, "leaky": 0.01, "inside": 0, "linear": 1, "builtin": 0.25}
    expected.update(prelu=0.1, last=0.1)
    slopes = rectifier_slopes(net)
    assert slopes == pytest.approx({f"n_{k}_weight": v for k, v in expected.items()})


@pytest.mark.parametrize(
    ("activation", "slope"), [("relu", 0.0), ("prelu", 0.25), ("prelu_shared", 0.25)]
)
def test_slopes_of_the_paper_s_nets(activation, slope):
    slopes = rectifier_slopes(get_model("deeprect_c", activation=activation))
    assert len(slopes) == 22
    assert set(slopes.values()) == {slope}


def test_a_net_without_rectifiers_is_linear():
    assert rectifier_slopes(nn.Dense(3, prefix="d_")) == {"d_weight": 1.0}


def test_an_activation_that_is_no_rectifier_is_named():
    with pytest.raises(ValueError, match="tanh.*rectifiers only"):
        rectifier_slopes(nn.Dense(3, activation="tanh"))


@pytest.mark.parametrize("fan", ["in", "out"])
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_distribution_is_that_of_mxnet_s_own_initialiser(fan, slope):
    shape = (96, 64, 3, 3)
    mx.random.seed(11)
    theirs = weight(mx.init.MSRAPrelu(factor_type=fan, slope=slope), shape=shape).ravel()
    ours = weight(MSRA(slope, fan, seed=11), shape=shape).ravel()
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3
    assert ours.std() == pytest.approx(theirs.std(), rel=0.01)


@pytest.mark.parametrize("fan", ["in", "out"])
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_distribution_is_that_of_pytorch_s_formula(fan, slope):
    """Compare with kaiming_normal_: std = sqrt(2 / (1 + negative_slope^2)) / sqrt(fan)."""
    shape = (128, 256)
    std = np.sqrt(2 / (1 + slope**2)) / np.sqrt(shape[1] if fan == "in" else shape[0])
    values = weight(MSRA(slope, fan, seed=1), shape=shape).ravel()
    assert stats.kstest(values, "norm", args=(0, std)).pvalue > 1e-3
    assert stats.kurtosis(values) == pytest.approx(0, abs=0.1)


def test_settings_of_the_paper():
    net = get_model("deeprect_a", width=0.1, hidden=(60, 50), classes=40)
    init = paper_initializer(net, seed=3)
    net.initialize(init)
    values = {name: p.data().asnumpy() for name, p in net.collect_params(".*weight").items()}
    for name, value in values.items():
        if "conv" in name:
            filters = value.shape[0] * value.shape[2] ** 2
            expected = np.sqrt(2 / (1.0625 * filters))
        else:
            expected = 0.001 if "fc3" in name else 0.01
        assert init.std(name, value.shape) == pytest.approx(expected)
        assert value.std() == pytest.approx(expected, rel=5 / np.sqrt(value.size))


def test_a_net_of_the_paper_is_drawn_in_place_with_gluon_s_values(monkeypatch):
    def build():
        return get_model("deeprect_a", width=0.1, hidden=(60, 50), classes=40)

    nets = [build() for _ in range(4)]
    init = MSRA(rectifier_slopes(nets[0]), seed=4)
    with monkeypatch.context() as patch:
        patch.delattr(MSRA, "_init_weight")  # what Gluon would call
        nets[0].initialize(init)
    nets[1].collect_params().initialize(init)
    nets[2].initialize()
    nets[2].initialize(init, force_reinit=True)
    nets[3].initialize(init, ctx=[mx.cpu(0), mx.cpu(1)])
    x = mx.nd.array(np.random.default_rng(0).standard_normal((1, 3, 224, 224)))
    first = nets[0].collect_params()
    for net in nets[1:]:
        for name, parameter in net.collect_params().items():
            for data in parameter.list_data():
                np.testing.assert_array_equal(data.asnumpy(), first[name].data().asnumpy())
    np.testing.assert_array_equal(nets[0](x).asnumpy(), nets[1](x).asnumpy())
    assert nets[3].output.weight.list_ctx() == [mx.cpu(0), mx.cpu(1)]
    # The memory can be written like that of any parameter, and devices do not share it.
    weight = nets[3].output.weight
    weight.list_data()[0][:] = 0
    assert (weight.list_data()[0].asnumpy() == 0).all()
    assert (weight.list_data()[1].asnumpy() != 0).all()


def test_initialising_in_place_leaves_what_is_initialised():
    net = get_model("deeprect_small14", width=0.1, hidden=(20, 10), classes=4)
    net.features.initialize(mx.init.One())
    net.initialize(MSRA(rectifier_slopes(net)))
    assert (net.features[0].weight.data().asnumpy() == 1).all()
    assert net.output.weight.data().asnumpy().std() > 0


class Functional(nn.HybridSequential):
    """A convolution and a rectifier that is no block."""

    def __init__(self, rectifier, **kwargs):
        super().__init__(**kwargs)
        self.add(nn.Conv2D(4, 3, prefix="c_"), nn.Conv2D(4, 1, prefix="last_"))
        self.rectifier = rectifier

    def hybrid_forward(self, F, x):
        first, last = self._children.values()
        return last(self.rectifier(F, first(x)))


@pytest.mark.parametrize(
    ("rectifier", "slope"),
    [
        (lambda F, x: F.relu(x), 0),
        (lambda F, x: F.Activation(x, act_type="relu"), 0),
        (lambda F, x: F.clip(x, 0, 6), 0),
        (lambda F, x: F.maximum(x, 0), 0),
        (lambda F, x: F.LeakyReLU(x, slope=0.1), 0.1),
        (lambda F, x: F.relu(F.Dropout(x) + 1), 0),
        (lambda F, x: x + x, 1),
    ],
)
def test_functions_are_rectifiers_too(rectifier, slope):
    """They counted as linear."""
    assert rectifier_slopes(Functional(rectifier))["c_weight"] == pytest.approx(slope)


@pytest.mark.parametrize(
    "net",
    [
        mx.gluon.model_zoo.vision.resnet18_v1(prefix="n_"),
        mx.gluon.model_zoo.vision.resnet18_v2(prefix="n_"),
        mx.gluon.model_zoo.vision.mobilenet_v2_0_25(prefix="n_"),
    ],
    ids=lambda net: type(net).__name__,
)
def test_rectifiers_of_other_people_s_nets(net):
    """Those of ResNet v2 and MobileNetV2 are functions; linear bottlenecks stay linear."""
    slopes = rectifier_slopes(net)
    weights = [name for name in net.collect_params() if name.endswith("weight")]
    assert sorted(slopes) == sorted(weights)
    linear = [name for name, slope in slopes.items() if slope == 1]
    assert set(slopes.values()) <= {0, 1}
    assert len(linear) == (17 if isinstance(net, mx.gluon.model_zoo.vision.MobileNetV2) else 0)


@pytest.mark.parametrize("block", [nn.Swish, nn.SELU, nn.ELU, nn.GELU])
def test_other_activations_are_refused(block):
    """They counted as linear although an error is documented."""
    net = nn.HybridSequential()
    net.add(nn.Dense(3), block())
    with pytest.raises(ValueError, match="rectifiers only"):
        rectifier_slopes(net)


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Conv2D(64, 3, groups=64, in_channels=64), 9, 9),
        (nn.Conv2D(64, 3, groups=4, in_channels=32), 9 * 8, 9 * 16),
        (nn.Conv2D(128, 3, layout="NHWC", in_channels=64), 9 * 64, 9 * 128),
        (nn.Conv1D(6, 5, in_channels=4), 5 * 4, 5 * 6),
        (nn.Conv3D(6, (1, 2, 3), in_channels=4), 6 * 4, 6 * 6),
        (nn.Conv2DTranspose(6, 3, in_channels=4), 9 * 4, 9 * 6),
        (nn.Conv2DTranspose(6, 3, groups=2, in_channels=4), 9 * 2, 9 * 3),
        (nn.Dense(6, in_units=4), 4, 6),
        (ConvPReLU(6, 3, in_channels=4), 9 * 4, 9 * 6),
    ],
)
def test_fans_of_every_kind_of_layer(layer, fan_in, fan_out):
    """Groups and layouts were taken from the shape alone: half the deviation, or less."""
    name = layer.weight.name
    for fan, n in (("in", fan_in), ("out", fan_out)):
        init = MSRA(rectifier_slopes(layer), fan)
        slope = init.slope[name]
        assert init.std(name, layer.weight.shape) == pytest.approx(np.sqrt(2 / (1 + slope**2) / n))
        again = mx.init.create(*json.loads(init.dumps())[:1], **json.loads(init.dumps())[1])
        assert again.std(name, layer.weight.shape) == init.std(name, layer.weight.shape)


def test_random_initial_slopes_are_refused_until_they_are_drawn():
    """One random value was taken for all."""
    net = nn.HybridSequential()
    net.add(nn.Dense(3, in_units=2, prefix="d_"), PReLU(mx.init.Uniform(0.9), in_channels=3))
    with pytest.raises(ValueError, match="alpha are random.*initialise them first"):
        rectifier_slopes(net)
    net[1].initialize()
    alpha = net[1].alpha.data().asnumpy()
    assert rectifier_slopes(net)["d_weight"] == pytest.approx(np.sqrt(np.square(alpha).mean()))


def test_a_weight_of_an_unknown_operator_is_warned_of():
    with pytest.warns(UserWarning, match="embed_weight belongs to Embedding"):
        assert rectifier_slopes(nn.Embedding(5, 3, prefix="embed_")) == {"embed_weight": 1.0}


def test_a_net_of_two_inputs_is_refused():
    class Two(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x, y):
            return x + y

    with pytest.raises(ValueError, match="cannot be called with a Symbol as its only input"):
        rectifier_slopes(Two())
