"""Views: against crops, windows and averages computed one by one."""

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon import evaluation
from deeprect_gluon.images import Preprocess, normalise, resize_shorter
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import get_model
from deeprect_gluon.nn import SpatialPyramidPooling

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def make(name="deeprect_a", seed=1, **config):
    small = {"input_size": 112, "width": 0.04, "hidden": (20, 16), "classes": 6}
    net = get_model(name, **{**small, **config})
    net.initialize(MSRA(rectifier_slopes(net), seed=seed))
    net.preprocess = Preprocess(net.config["input_size"], MEAN, STD)
    return net


@pytest.fixture(scope="module")
def net():
    return make()


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def probabilities(net, crops):
    return net(normalise(np.stack(crops), MEAN, STD)).softmax().asnumpy()


def test_center_view_is_the_crop_s_score(net):
    image = picture(150, 131)
    resized = resize_shorter(image, 120)
    assert resized.shape == (137, 120, 3)
    expected = probabilities(net, [resized[12:124, 4:116]])[0]
    np.testing.assert_allclose(evaluation.center_view(net, image, side=120), expected, rtol=1e-5)


def test_views_take_the_paper_s_ratio_by_default(net):
    image = picture(140, 128)  # 128 = 112 * 256 / 224: not resized
    expected = probabilities(net, [image[14:126, 8:120]])[0]
    np.testing.assert_allclose(evaluation.center_view(net, image), expected, rtol=1e-5)


def test_ten_view_averages_corners_centre_and_mirror_images(net):
    image = picture(130, 120)
    crops = [
        image[:112, :112],
        image[:112, 8:],
        image[18:, :112],
        image[18:, 8:],
        image[9:121, 4:116],
    ]
    crops += [crop[:, ::-1] for crop in crops]
    expected = probabilities(net, crops).mean(axis=0)
    np.testing.assert_allclose(evaluation.ten_view(net, image, side=120), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["deeprect_a", "vgg19", "deeprect_small14"])
@pytest.mark.parametrize("hybrid", [False, True])
def test_dense_with_one_image_of_the_input_s_size_is_the_plain_forward(name, hybrid):
    net = make(name)
    if hybrid:
        net.hybridize()
    image = picture(112, 112)
    plain = probabilities(net, [image])[0]
    dense = evaluation.dense_view(net, image, scales=[112], flip=False)
    np.testing.assert_allclose(dense, plain, rtol=1e-5)


@pytest.mark.parametrize("max_windows", [1, 5, 64])
def test_dense_scores_every_window_of_the_map(net, max_windows):
    x = normalise(np.stack([picture(150, 180, s) for s in (1, 2)]), MEAN, STD)
    layers = list(net.features._children.values())
    position = [isinstance(layer, SpatialPyramidPooling) for layer in layers].index(True)
    maps = net.features[:position](x)
    size = layers[position].map_size
    found = evaluation.dense_probabilities(net, x, max_windows)
    assert found.shape == (2, maps.shape[2] - size + 1, maps.shape[3] - size + 1, 6)
    assert found.shape[1] != found.shape[2]
    for i in range(found.shape[1]):
        for j in range(found.shape[2]):
            window = maps[:, :, i : i + size, j : j + size]
            scores = net.output(net.features[position:](window)).softmax()
            np.testing.assert_allclose(found[:, i, j], scores.asnumpy(), rtol=2e-5)


def test_dense_view_averages_windows_flips_and_scales(net):
    image = picture(120, 140)
    expected = []
    for scale in (112, 144):
        resized = resize_shorter(image, scale)
        for view in (resized, resized[:, ::-1]):
            x = normalise(view[None], MEAN, STD)
            expected.append(evaluation.dense_probabilities(net, x).mean(axis=(0, 1, 2)))
    found = evaluation.dense_view(net, image, scales=(112, 144))
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-5)
    assert found.sum() == pytest.approx(1)
    mirrored = evaluation.dense_view(net, image[:, ::-1], scales=(112,))
    np.testing.assert_allclose(
        mirrored, evaluation.dense_view(net, image, scales=(112,)), rtol=1e-4
    )


def test_dense_runs_convolutions_once_for_each_scale_and_windows_in_bounded_batches():
    net = make()
    calls = {"conv": 0, "windows": []}
    net.features[0].register_forward_hook(lambda *_: calls.update(conv=calls["conv"] + 1))
    net.output.register_forward_hook(lambda _, x, y: calls["windows"].append(len(y)))
    evaluation.dense_view(net, picture(112, 400), scales=(112, 160), max_windows=7)
    assert calls["conv"] == 2
    assert max(calls["windows"]) <= 2 * 7  # the image and its mirror image
    assert len(calls["windows"]) > 2


def test_dense_convolves_large_images_in_bounded_tiles():
    net = make()
    x = normalise(picture(112, 600)[None], MEAN, STD)
    whole = evaluation.dense_probabilities(net, x)
    widths = []
    net.features[0].register_forward_hook(lambda _, inputs, y: widths.append(inputs[0].shape[3]))
    tiled = evaluation.dense_probabilities(net, x, tile=4)
    np.testing.assert_allclose(tiled, whole, rtol=1e-4)
    # A tile sees 16 pixels for each cell, and what its convolutions see beyond it on both sides.
    assert len(widths) == 2 * 10  # tiles of a map of 7x37
    assert max(widths) < 4 * 16 + 2 * 180 < 600


def test_ensemble_averages_the_nets():
    nets = [make(seed=1), make("deeprect_b", seed=2, input_size=120)]
    image = picture(140, 160)
    for view, arguments in ((evaluation.ten_view, {}), (evaluation.dense_view, {"scales": (128,)})):
        expected = np.mean([view(n, image, **arguments) for n in nets], axis=0)
        found = evaluation.ensemble(nets, image, view, **arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_grey_images():
    net = make(in_channels=1)
    net.preprocess = Preprocess(112, (0.3,), (0.2,))
    image = picture(130, 150)[..., :1]
    assert evaluation.ten_view(net, image).shape == (6,)
    assert evaluation.dense_view(net, image, scales=(128,)).sum() == pytest.approx(1)


def test_top_errors():
    scores = np.array([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.2, 0.5, 0.3]])
    assert evaluation.top_errors(scores, [1, 2, 1, 0], top=(1, 2, 3)) == {1: 0.75, 2: 0.5, 3: 0.0}


def test_bad_input_is_named(net):
    image = picture(120, 120)
    with pytest.raises(ValueError, match="scale of 64 .* 112 is large enough"):
        evaluation.dense_view(net, image, scales=(128, 64))
    with pytest.raises(ValueError, match="100 pixels has no crop of 112x112"):
        evaluation.ten_view(net, image, side=100)
    bare = make()
    bare.preprocess = None
    with pytest.raises(ValueError, match="deeprect_a does not know its images' mean and std"):
        evaluation.center_view(bare, image)


def test_dense_features_of_published_size_are_63_bins():
    """The 14x14 windows of a wider map are pooled as the paper's, whatever the image's size."""
    net = make(input_size=224, width=0.02)
    x = mx.nd.array(np.random.default_rng(0).standard_normal((1, 3, 256, 224)))
    assert evaluation.dense_probabilities(net, x).shape == (1, 3, 1, 6)
