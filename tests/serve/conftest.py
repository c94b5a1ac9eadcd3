"""A net to serve, and its probabilities for some images."""

import pytest
from serving import encode

import zoo
from deeprect_gluon import images
from deeprect_gluon.data import fashion_mnist
from deeprect_gluon.export import export_onnx


@pytest.fixture(scope="session")
def net():
    return zoo.get_model("deeprect_small14", pretrained=True)


@pytest.fixture(scope="session")
def exported(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "fashion"
    export_onnx(net, path)
    return path


@pytest.fixture(scope="session")
def pictures():
    """Files of the first test images, as bytes."""
    return [encode(pixels) for pixels in fashion_mnist.load("test")[0][:12]]


@pytest.fixture(scope="session")
def right_answer(net):
    """Return a function from an image file to {class: probability}, by the net itself."""

    def answer(content):
        x = net.preprocess(images.read(content, 1))
        return dict(zip(net.classes, net(x).softmax().asnumpy()[0].tolist()))

    return answer
