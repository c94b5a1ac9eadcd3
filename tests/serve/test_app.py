"""The HTTP interface, asked over real connections."""

import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from serving import PATIENCE, assert_right, encode, noise, random_net, serving, wait_until

from deeprect_gluon import images
from deeprect_gluon.export import export
from deeprect_gluon.serve import Classifier, Limits

LIMITS = Limits(max_bytes=30_000)
UNFINISHED = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nabc"


@pytest.fixture(scope="module")
def url(exported):
    with serving(Classifier(exported, max_pixels=250_000), LIMITS) as url:
        yield url


def post(url, content, top=10, **options):
    return requests.post(f"{url}/classify?top={top}", data=content, timeout=PATIENCE, **options)


def connect(url):
    place = urlsplit(url)
    return socket.create_connection((place.hostname, place.port), timeout=PATIENCE)


def read_all(connection):
    """Read until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_answer_is_the_nets(url, pictures, right_answer):
    for content in pictures:
        response = post(url, content)
        assert response.status_code == 200
        assert_right(response.json(), right_answer(content))
    colour = encode(noise(123, 77), "PNG")
    assert_right(post(url, colour).json(), right_answer(colour))


def test_five_classes_unless_asked_for_more(url, pictures, right_answer):
    response = requests.post(f"{url}/classify", data=pictures[0], timeout=PATIENCE)
    expected = right_answer(pictures[0])
    names = [guess["name"] for guess in response.json()["classes"]]
    assert names == sorted(expected, key=expected.get, reverse=True)[:5]
    assert len(post(url, pictures[0], top=99).json()["classes"]) == 10


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 415, "no image of the formats JPEG, PNG, WEBP, GIF, BMP"),
        (b"a text", 415, "no image of the formats"),
        (encode(noise(30, 30))[:400], 422, "not a whole image"),
        (encode(np.zeros((501, 500), np.uint8), "PNG"), 422, "500 x 501 pixels, more than 250,000"),
        (bytes(30_001), 413, "more than 30,000 bytes"),
        (bytes(5_000_000), 413, "more than 30,000 bytes"),
        (iter([bytes(20_000)] * 200), 413, "more than 30,000 bytes"),  # sent in chunks
    ],
    ids=["empty", "text", "truncated", "pixels", "large", "larger", "chunked"],
)
def test_what_is_refused_is_told_why(url, content, status, message):
    response = post(url, content)
    assert response.status_code == status
    assert message in response.json()["detail"]
    assert response.json().keys() == {"detail"}


def test_a_form_is_refused(url, pictures):
    response = requests.post(f"{url}/classify", files={"file": pictures[0]}, timeout=PATIENCE)
    assert response.status_code == 415
    assert "send such a file itself, not in a form" in response.json()["detail"]


@pytest.mark.parametrize("top", ["0", "-1", "many"])
def test_a_wrong_number_of_classes_is_refused(url, pictures, top):
    response = post(url, pictures[0], top=top)
    assert response.status_code == 422
    assert response.json()["detail"].startswith("top: Input should be")


def test_who_asks_before_sending_too_much_is_told_at_once(url):
    with connect(url) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("name", ["max_bytes", "body_timeout", "max_batch", "max_wait"])
def test_limits_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name}=-1"):
        Limits(**{name: -1})


def test_health_metadata_and_description(url, net):
    assert requests.get(f"{url}/health", timeout=PATIENCE).json() == {"status": "ok", "requests": 0}
    metadata = requests.get(f"{url}/metadata", timeout=PATIENCE).json()
    assert metadata["classes"] == list(net.classes)
    assert metadata["card"] == net.card
    assert (metadata["name"], metadata["form"]) == ("fashion", "onnx")
    assert (metadata["channels"], metadata["size"]) == (1, 28)
    assert (metadata["max_bytes"], metadata["max_pixels"]) == (30_000, 250_000)
    schema = requests.get(f"{url}/openapi.json", timeout=PATIENCE).json()
    assert set(schema["paths"]) == {"/classify", "/health", "/metadata"}
    assert {"200", "408", "413", "415", "422", "503"} == set(
        schema["paths"]["/classify"]["post"]["responses"]
    )


def test_mxnet_serves_a_net_without_names(pictures, tmp_path):
    net = random_net()
    net.preprocess = images.Preprocess(28, (0.5,), (0.5,))
    export(net, tmp_path / "net")
    x = net.preprocess(images.read(pictures[0], 1))
    expected = net(x).softmax().asnumpy()[0].tolist()
    with serving(Classifier(tmp_path / "net")) as url:
        assert requests.get(f"{url}/metadata", timeout=PATIENCE).json()["classes"] is None
        answer = post(url, pictures[0]).json()
    assert_right(answer, {f"class {i}": expected[i] for i in range(3)})


class Gated(Classifier):
    """Notes the sizes of the batches, and computes them while `gate` is set."""

    def __init__(self, *arguments):
        self.sizes = []
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        super().__init__(*arguments)

    def __call__(self, inputs):
        self.sizes.append(len(inputs))
        self.entered.set()
        self.gate.wait(PATIENCE)
        if not np.isfinite(inputs).all():
            raise ArithmeticError("not a number")
        return super().__call__(inputs)

    def prepare(self, content):
        x = super().prepare(content)
        return x * np.nan if content.endswith(b"spoilt") else x


def test_concurrent_requests_are_batched_and_get_their_own_answers(
    exported, pictures, right_answer
):
    classifier = Gated(exported)
    # A batch starts when it is full, and not before.
    limits = Limits(max_batch=8, max_queue=9, max_wait=PATIENCE)
    with serving(classifier, limits) as url, ThreadPoolExecutor(9) as clients:
        classifier.gate.clear()
        answers = [clients.submit(post, url, content) for content in pictures[:8]]
        assert classifier.entered.wait(PATIENCE)  # all eight are in one batch
        answers.append(clients.submit(post, url, pictures[8]))

        def waiting():
            return requests.get(f"{url}/health", timeout=PATIENCE).json()["requests"]

        wait_until(lambda: waiting() == 9)
        refused = post(url, pictures[9])
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert refused.json()["detail"] == ("9 requests are waiting already; try again in a moment")
        classifier.gate.set()
        # The ninth waits for company.
        wait_until(lambda: waiting() == 1)
        answers += [clients.submit(post, url, content) for content in pictures[1:8]]
        for content, answer in zip([*pictures[:9], *pictures[1:8]], answers):
            assert_right(answer.result().json(), right_answer(content))
    assert classifier.sizes == [8, 8]


def test_a_failure_of_the_net_is_a_500_and_passes(exported, pictures, right_answer):
    with serving(Gated(exported)) as url:
        assert post(url, pictures[0] + b"spoilt").status_code == 500
        assert_right(post(url, pictures[0]).json(), right_answer(pictures[0]))


def test_a_client_that_goes_away_is_no_error_of_the_server(exported, pictures, capfd):
    with serving(Classifier(exported)) as url:
        with connect(url) as connection:
            connection.sendall(
                b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
            )
        assert post(url, pictures[0]).status_code == 200
    logged = capfd.readouterr()
    assert "POST /classify?top=10" in logged.out
    assert "Traceback" not in logged.out + logged.err


def test_slow_clients_are_dropped(exported, pictures):
    with serving(Classifier(exported), Limits(body_timeout=0.2), idle_timeout=1) as url:
        with connect(url) as silent, connect(url) as slow_head, connect(url) as slow_body:
            slow_head.sendall(b"POST /classify HTTP/1.1\r\nHost:")
            slow_body.sendall(
                b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nabc"
            )
            answer = read_all(slow_body)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"the body did not come within 0.2 seconds" in answer
            assert read_all(silent) == b""
            assert read_all(slow_head) == b""
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
        connection.request("POST", "/classify", pictures[0])
        assert len(json.loads(connection.getresponse().read())["classes"]) == 5
        connection.sock.sendall(b"G")  # a second request that never comes
        assert read_all(connection.sock) == b""
        connection.close()
