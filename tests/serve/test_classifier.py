"""From image files to inputs and probabilities; what is refused before it is decoded."""

import mxnet as mx
import numpy as np
import pytest
from serving import encode, noise, random_net

from deeprect_gluon import images
from deeprect_gluon.export import export, export_onnx
from deeprect_gluon.serve import Classifier, UnknownFormatError


@pytest.fixture(scope="module")
def classifier(exported):
    return Classifier(exported, max_pixels=20_000)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_inputs_are_the_nets_own(classifier, net, form):
    content = encode(noise(90, 120), form)
    expected = net.preprocess(images.read(content, 1)).asnumpy()[0]
    np.testing.assert_array_equal(classifier.prepare(content), expected)


def test_probabilities_are_the_nets_own(classifier, net):
    x = np.random.default_rng(0).normal(size=(5, 1, 28, 28)).astype(np.float32)
    expected = net(mx.nd.array(x)).softmax().asnumpy()
    np.testing.assert_allclose(classifier(x), expected, atol=1e-5)
    assert classifier(100 * x).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("portable", [False, True])
def test_exports_for_mxnet_are_served_too(net, tmp_path, portable):
    export(net, tmp_path / "net", portable=portable)
    x = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    expected = net(mx.nd.array(x)).softmax().asnumpy()
    np.testing.assert_allclose(Classifier(tmp_path / "net")(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", UnknownFormatError, "no image of the formats JPEG, PNG"),
        (b"a text", UnknownFormatError, "no image of the formats JPEG, PNG"),
        (encode(noise(20, 20), "TIFF"), UnknownFormatError, "no image of the formats"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UnknownFormatError, "no image of"),
        (encode(noise(50, 50))[:-90], ValueError, "not a whole image: image file is truncated"),
        (encode(noise(200, 101)), ValueError, "101 x 200 pixels, more than 20,000"),
        (encode(np.zeros((2000, 2000), np.uint8), "PNG"), ValueError, "more than 20,000"),
        (encode(np.zeros((20000, 20000), bool), "PNG"), ValueError, "pixels"),
        (encode(np.zeros((1, 5000), np.uint8), "PNG"), ValueError, "5000 x 1 .* too long a strip"),
    ],
    ids=["empty", "text", "tiff", "eps", "truncated", "large", "compressed", "bomb", "strip"],
)
def test_refused_with_a_sentence(classifier, content, error, message):
    with pytest.raises(error, match=message) as caught:
        classifier.prepare(content)
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) == 1


def test_an_export_must_say_how_images_are_prepared(tmp_path):
    export_onnx(random_net(), tmp_path / "net")
    with pytest.raises(ValueError, match="does not say how images are prepared"):
        Classifier(tmp_path / "net")
