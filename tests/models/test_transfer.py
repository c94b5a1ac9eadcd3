"""Weights between activations and heads, GluonCV's zoo, ImageNet's metadata."""

import gluoncv
import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon.data import imagenet_facts
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import get_model, imagenet, load_weights, register_with_gluoncv


def make(seed=1, **config):
    small = {"stem": "small_image", "input_size": 28, "width": 0.1, "hidden": (20, 16)}
    net = get_model("deeprect_small14", **{**small, "classes": 5, **config})
    net.initialize(MSRA(rectifier_slopes(net), seed=seed))
    return net


def values(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


X = mx.nd.array(np.random.default_rng(0).standard_normal((2, 3, 28, 28)))


@pytest.mark.parametrize("activation", ["prelu", "prelu_shared"])
def test_relu_weights_fill_a_prelu_twin_with_fresh_slopes(activation, tmp_path):
    source, net = make(activation="relu"), make(seed=2, activation=activation)
    source.save_parameters(str(tmp_path / "relu.params"))
    kept = load_weights(net, tmp_path / "relu.params")
    assert len(kept) == 13
    assert all(name.endswith(".alpha") for name in kept)
    for name, value in values(source).items():
        np.testing.assert_array_equal(values(net)[name], value)
    assert {float(v) for name in kept for v in values(net)[name]} == {0.25}
    # With the slope of a ReLU it is the ReLU net.
    for name in kept:
        net._collect_params_with_prefix()[name].set_data(mx.nd.zeros(values(net)[name].shape))
    np.testing.assert_array_equal(net(X).asnumpy(), source(X).asnumpy())


def test_a_new_head_is_kept_and_features_are_the_source_s():
    source, net = make(), make(seed=2, classes=3)
    before = values(net)
    assert load_weights(net, source) == ["output.bias", "output.weight"]
    np.testing.assert_array_equal(net.features(X).asnumpy(), source.features(X).asnumpy())
    np.testing.assert_array_equal(values(net)["output.weight"], before["output.weight"])
    assert net(X).shape == (2, 3)


def test_a_fine_tuned_head_trains():
    source, net = make(activation="relu"), make(seed=2, classes=3)
    load_weights(net, source)
    trainer = mx.gluon.Trainer(net.output.collect_params(), "sgd", {"learning_rate": 0.1})
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    losses = []
    for _ in range(5):
        with mx.autograd.record(train_mode=False):
            value = loss(net(X), mx.nd.array([0, 2])).mean()
        value.backward()
        trainer.step(1)
        losses.append(value.asscalar())
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(
        values(net)["features.0.weight"], values(source)["features.0.weight"]
    )


@pytest.mark.parametrize(
    ("source", "config", "message"),
    [
        ({}, {"activation": "relu"}, r"features.0.alpha has shape \(6,\) there and none here, and"),
        ({}, {"activation": "prelu_shared"}, r"alpha has shape \(6,\) there and \(1,\) here"),
        ({"width": 0.2}, {}, r"features.0.weight has shape \(13, 3, 7, 7\) there"),
        ({"hidden": (20,)}, {}, "do not fit deeprect_small14 with prelu"),
    ],
)
def test_other_differences_are_refused_and_leave_the_net_alone(source, config, message):
    net = make(seed=2, **config)
    before = values(net)
    with pytest.raises(ValueError, match=message):
        load_weights(net, make(**source))
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_net_without_values_takes_the_arrays_themselves():
    source = make(activation="relu")
    arrays = {name: np.array(value) for name, value in values(source).items()}
    net = get_model(**source.config)
    assert load_weights(net, arrays) == []
    np.testing.assert_array_equal(net(X).asnumpy(), source(X).asnumpy())
    # MXNet forbids writing to an array whose memory it has taken.
    assert not any(array.flags.writeable for array in arrays.values())


def test_a_net_without_values_cannot_keep_any():
    net = get_model(**{**make().config, "classes": 3})
    with pytest.raises(ValueError, match=r"do not give output.bias, which has no value yet"):
        load_weights(net, make())


def test_a_stranger_s_file_is_not_read_by_mxnet(tmp_path, monkeypatch):
    net, path = make(), tmp_path / "net.params"
    net.save_parameters(str(path))
    monkeypatch.delattr(mx.nd, "load")
    assert load_weights(make(seed=2), path) == []
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is not a parameter file, or is damaged"):
        load_weights(net, path)


def test_gluoncv_knows_the_nets_after_registration():
    names = register_with_gluoncv()
    assert set(names) <= set(gluoncv.model_zoo.get_model_list())
    net = gluoncv.model_zoo.get_model("DeepRect_C", classes=7, pretrained=False, ctx=mx.cpu())
    assert net.config == get_model("deeprect_c", classes=7).config
    assert type(gluoncv.model_zoo.get_model("vgg19")) is not type(net)
    with pytest.raises(ValueError, match=r"register_with_gluoncv\(zoo.get_model\)"):
        gluoncv.model_zoo.get_model("deeprect_a", pretrained=True)


def test_gluoncv_can_be_given_another_constructor():
    register_with_gluoncv(lambda name, **arguments: (name, arguments))
    found = gluoncv.model_zoo.get_model("deeprect_b", pretrained=True)
    assert found == ("deeprect_b", {"pretrained": True})
    register_with_gluoncv()


def test_imagenet_describes_classes_and_preprocessing():
    net = imagenet.describe(get_model("deeprect_a", width=0.05, hidden=(8, 8)))
    assert len(net.classes) == 1000
    assert net.classes[0].startswith("tench")
    assert net.classes[999].startswith("toilet tissue")
    net.initialize(MSRA(rectifier_slopes(net)))
    image = np.full((300, 400, 3), 255, np.uint8)
    x = net.preprocess(image)
    assert x.shape == (1, 3, 224, 224)
    np.testing.assert_allclose(
        x[0, :, 0, 0].asnumpy(), (1 - np.array(imagenet_facts.MEAN)) / imagenet_facts.STD
    )
    assert net(x).shape == (1, 1000)
    with pytest.raises(ValueError, match="10 classes and 3 channels is no net of ImageNet"):
        imagenet.describe(get_model("deeprect_a", classes=10))
