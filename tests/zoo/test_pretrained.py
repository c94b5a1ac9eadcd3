"""`zoo.get_model` and its companions on a local store."""

from __future__ import annotations

import hashlib
import json
import logging
import random

import mxnet as mx
import numpy as np
import pytest

import zoo
from deeprect_gluon import models
from deeprect_gluon.data import fashion_mnist
from zoo.publishing.datasets import get_dataset
from zoo.store import open_store
from zoo.weights import decode

NAME = "deeprect_small14"
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)


def snapshot(folder) -> dict:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_weights_are_the_trained_ones(run, published):
    net = zoo.get_model(NAME, pretrained=True, repo=published)
    trained = mx.nd.load(str(run / "weights.params"))
    found = net._collect_params_with_prefix()
    assert set(found) == set(trained)
    for name, array in trained.items():
        array = array.asnumpy()
        if array.ndim > 1:
            array = array.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(found[name].data().asnumpy(), array)


def test_the_published_error_is_that_of_the_loaded_net(published):
    net = zoo.get_model(NAME, pretrained=True, repo=published)
    net.hybridize()
    metrics = zoo.model_info(NAME, repo=published)["metrics"]
    assert metrics["images"] == 10000
    measured = get_dataset("fashion_mnist").measure(net, 28)
    assert measured["top1_error"] == pytest.approx(metrics["top1_error"], abs=2e-4)


def test_the_net_knows_what_it_was_trained_on(published):
    net = zoo.get_model(NAME, pretrained=True, repo=published)
    assert net.classes == fashion_mnist.CLASSES
    assert net.card.startswith("# deeprect_small14, prelu, trained on fashion_mnist")
    assert net(net.preprocess(IMAGES)).shape == (3, 10)


def test_one_line_says_what_was_loaded(published, caplog):
    with caplog.at_level(logging.INFO, "zoo"):
        zoo.get_model(NAME, pretrained=True, repo=published)
    entry = zoo.model_info(NAME, repo=published)
    (message,) = [r.getMessage() for r in caplog.records if r.name == "zoo"]
    assert message == (
        f"deeprect_small14-prelu-fashion_mnist version 1: top-1 error "
        f"{100 * entry['metrics']['top1_error']:.2f}% on fashion_mnist, "
        f"SHA-256 {entry['weights']['sha256']}"
    )


def test_no_weight_is_drawn_at_random(published, monkeypatch):
    def refuse(*args):
        raise AssertionError("a trained net was initialised at random")

    monkeypatch.setattr(mx.init.Initializer, "__call__", refuse)
    zoo.get_model(NAME, pretrained=True, repo=published)


@pytest.mark.parametrize("classes", [4, ("a", "b", "c", "d")])
def test_another_number_of_classes_gets_a_new_head(published, classes):
    whole = zoo.get_model(NAME, pretrained=True, repo=published)
    net = zoo.get_model(NAME, pretrained=True, classes=classes, repo=published)
    x = net.preprocess(IMAGES)
    assert net(x).shape == (3, 4)
    assert net.classes == (None if classes == 4 else classes)
    np.testing.assert_array_equal(net.features(x).asnumpy(), whole.features(x).asnumpy())
    weight = net.output.weight.data().asnumpy()
    assert weight.std() == pytest.approx(np.sqrt(2 / 1.0625 / 12), rel=0.4)
    assert (net.output.bias.data().asnumpy() == 0).all()


def test_other_names_for_the_same_number_of_classes_keep_the_head(published):
    names = tuple("abcdefghij")
    whole = zoo.get_model(NAME, pretrained=True, repo=published)
    net = zoo.get_model(NAME, pretrained=True, classes=names, repo=published)
    assert net.classes == names
    np.testing.assert_array_equal(net(net.preprocess(IMAGES)).asnumpy(),
                                  whole(net.preprocess(IMAGES)).asnumpy())  # fmt: skip


def test_a_trained_net_can_be_trained_on(published):
    net = zoo.get_model(NAME, pretrained=True, repo=published, dropout=0.0)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.001})
    x, labels = net.preprocess(IMAGES), mx.nd.array([1, 2, 3])
    losses = []
    for _ in range(30):
        with mx.autograd.record():
            loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()(net(x), labels)
        loss.backward()
        trainer.step(3)
        losses.append(loss.mean().asscalar())
    assert losses[-1] < losses[0], losses


def test_on_two_devices_each_has_weights_of_its_own(published):
    devices = [mx.cpu(0), mx.cpu(1)]
    net = zoo.get_model(NAME, pretrained=True, ctx=devices, repo=published)
    first, second = net.output.weight.list_data()
    assert [first.context, second.context] == devices
    np.testing.assert_array_equal(first.asnumpy(), second.asnumpy())
    first[:] = 0
    assert second.asnumpy().any()


def test_a_string_is_not_a_list_of_classes():
    with pytest.raises(TypeError, match="classes='cat' is one name"):
        zoo.get_model(NAME, classes="cat")


@pytest.mark.parametrize("pretrained", [1, b"fashion_mnist", ["fashion_mnist"]])
def test_what_names_no_weights_is_refused(published, pretrained):
    with pytest.raises(TypeError, match=r"names no weights; give True, 'dataset' or 'dataset@ver"):
        zoo.get_model(NAME, pretrained=pretrained, repo=published)
    with pytest.raises(TypeError, match="names no weights"):
        zoo.model_info(NAME, pretrained, repo=published)


def test_without_weights_the_net_is_not_initialised():
    net = zoo.get_model(NAME, classes=7)
    assert net.config["classes"] == 7
    with pytest.raises(RuntimeError, match="has not been initialized"):
        net.output.weight.data()


def test_arguments_that_change_shapes_are_refused(published):
    with pytest.raises(ValueError, match="has shape .* leave the net's arg"):
        zoo.get_model(NAME, pretrained=True, repo=published, width=0.1)
    with pytest.raises(ValueError, match=r"do not fit deeprect_small14 .* leave the net's arg"):
        zoo.get_model("deeprect_small14", "fashion_mnist", repo=published, hidden=())


def test_unknown_name():
    with pytest.raises(ValueError, match="did you mean 'deeprect_small14'"):
        zoo.get_model("deeprect_smal14", pretrained=True)
    with pytest.raises(ValueError, match="did you mean 'deeprect_small14'"):
        zoo.model_info("deeprect_smal14")


def test_list_models(published):
    assert "deeprect_c" in zoo.list_models()
    assert zoo.list_models("deeprect_small*") == ["deeprect_small14", "deeprect_small30"]
    assert zoo.list_models(pretrained=True, repo=published) == [NAME]
    assert zoo.list_models("vgg*", pretrained=True, repo=published) == []


def test_info_is_the_index_entry(published):
    entry = json.loads((published / "index.json").read_text())["entries"][0]
    assert zoo.model_info(NAME, repo=published) == entry
    net = zoo.get_model(NAME, pretrained=True, repo=published)
    assert entry["parameters"] == sum(p.data().size for p in net.collect_params().values())


def test_the_store_can_be_named_by_the_environment_and_by_url(published, monkeypatch):
    monkeypatch.setenv("DEEPRECT_ZOO_REPO", str(published))
    assert zoo.list_models(pretrained=True) == [NAME]
    assert zoo.list_models(pretrained=True, repo=published.as_uri()) == [NAME]


@pytest.mark.parametrize("damage", ["bit", "short", "long", "empty"])
def test_a_damaged_file_is_refused_and_left_alone(store, damage):
    entry = zoo.model_info(NAME, repo=store)
    path = store / "weights" / entry["weights"]["file"]
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[-1] ^= 1
    content = {"short": content[:-1], "long": content + b"x", "empty": b""}.get(damage, content)
    path.write_bytes(content)
    before = snapshot(store)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is checked below
        zoo.get_model(NAME, pretrained=True, repo=store)
    message = str(caught.value)
    assert str(path) in message
    if damage == "bit":
        assert hashlib.sha256(content).hexdigest() in message
        assert entry["weights"]["sha256"] in message
    else:
        assert f"it has {len(content)} bytes, not {entry['weights']['bytes']}" in message
    assert "\n" not in message
    assert snapshot(store) == before


def test_a_missing_file_is_named(store):
    path = store / "weights" / zoo.model_info(NAME, repo=store)["weights"]["file"]
    path.unlink()
    with pytest.raises(FileNotFoundError, match="named in the index, is missing in"):
        zoo.get_model(NAME, pretrained=True, repo=store)


def test_a_folder_without_an_index(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store can be read: there is no file"):
        zoo.list_models(pretrained=True, repo=tmp_path)


def test_mutations_do_no_harm_even_where_the_digest_is_theirs(published):
    """A stranger's file: refused with ValueError, or arrays of the net's own shapes."""
    good = open_store(published).read(zoo.model_info(NAME, repo=published)["weights"])
    shapes = {name: array.shape for name, array in decode(good).items()}
    header = 8 + int.from_bytes(good[:8], "little")
    config = zoo.model_info(NAME, repo=published)["config"]
    rng = random.Random(1)
    refused = 0
    for _ in range(1_000):
        content = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(header)] = rng.randrange(256)
        net = models.get_model(**config)
        try:
            models.load_weights(net, decode(bytes(content)), mx.cpu())
        except ValueError:
            refused += 1
            continue
        found = net._collect_params_with_prefix()
        assert {name: p.data().shape for name, p in found.items()} == shapes
    assert refused > 600
