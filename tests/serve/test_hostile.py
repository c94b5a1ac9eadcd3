"""Clients that mean harm: they keep connections, processors and memory."""

import contextlib
import dataclasses
import re
import signal
import socket
import struct
import time

import numpy as np
import psutil
import pytest
import requests
from serving import PATIENCE, assert_right, encode, serving, serving_process, wait_until

from deeprect_gluon.serve import Classifier, Limits


def connect(port, receive_buffer=None):
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", port))
    return connection


def ends(connection):
    """Read until the server ends the connection; return what it sent."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


@pytest.fixture(scope="module")
def port(exported):
    with serving(Classifier(exported), Limits(max_queue=4), idle_timeout=1, max_connections=9) as u:
        yield int(u.rpartition(":")[2])


HEAD = "HTTP/1.1\r\nHost: x\r\n"
UNREAD_BODIES = {
    "get with a body": f"GET /health {HEAD}Content-Length: 9\r\n\r\n",
    "unknown path": f"POST /nowhere {HEAD}Content-Length: 9\r\n\r\n",
    "refused query": f"POST /classify?top=x {HEAD}Content-Length: 9\r\n\r\n",
    "chunked": f"GET /health {HEAD}Transfer-Encoding: chunked\r\n\r\n",
    "half a second request": f"GET /health {HEAD}\r\nGET /health",
}


@pytest.mark.parametrize("request_", UNREAD_BODIES.values(), ids=UNREAD_BODIES)
def test_connections_that_hold_an_answered_request_open_locked_everyone_out(port, request_):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(port)) for _ in range(9)]
        for connection in held:
            connection.sendall(request_.encode())
            assert connection.recv(12).startswith(b"HTTP/1.1 ")
            connection.sendall(b"1")
        for connection in held:
            ends(connection)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE).ok


def test_a_trickle_of_bytes_does_not_keep_an_answered_request_open(port):
    with connect(port) as connection:
        connection.sendall(f"GET /health {HEAD}Content-Length: 99999\r\n\r\n".encode())
        connection.settimeout(0.1)
        end = time.monotonic() + PATIENCE
        received = b""
        while time.monotonic() < end:
            try:
                connection.sendall(b"1")
                part = connection.recv(65536)
            except socket.timeout:
                continue
            except ConnectionError:
                break
            if not part:
                break
            received += part
        assert time.monotonic() < end, "it is still open"
        assert received.startswith(b"HTTP/1.1 200 ")


def test_clients_that_read_no_answers_locked_everyone_out(exported):
    classifier = Classifier(exported)
    # More than the system buffers for a client that reads nothing.
    classifier.sidecar = dataclasses.replace(classifier.sidecar, card="x" * 10_000_000)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serving(classifier, idle_timeout=1, max_connections=9))
        for _ in range(8):
            connection = stack.enter_context(connect(int(url.rpartition(":")[2]), 2048))
            connection.sendall(f"GET /metadata {HEAD}\r\n".encode())
        wait_until(lambda: requests.get(f"{url}/health", timeout=PATIENCE).ok)


def progressive(scans, side=2000):
    """Return a progressive JPEG whose last scan is repeated."""
    content = encode(np.zeros((side, side, 3), np.uint8), progressive=True)
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:last] + content[last:end] * scans + b"\xff\xd9"


def gif_with_long_comment(blocks=1_000_000):
    """Return a GIF whose comment is so many blocks of a byte: Pillow copies it at each."""
    content = encode(np.zeros((28, 28), np.uint8), "GIF")
    place = 13 + 3 * (2 << (content[10] & 7))
    return content[:place] + b"\x21\xfe" + b"\x01a" * blocks + b"\0" + content[place:]


def exif_of_many_long_values():
    """Return a JPEG of a megabyte whose EXIF data are 20,000 values that share that megabyte."""
    count, size = 20_000, 1_000_000
    entries = b"".join(struct.pack("<HHII", 1000 + i, 7, size, 8) for i in range(count))
    exif = b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4 + size)
    content = encode(np.zeros((28, 28), np.uint8))
    segments = [b"Exif\0\0" + exif[i : i + 60_000] for i in range(0, len(exif), 60_000)]
    return (
        content[:2]
        + b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in segments)
        + content[2:]
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (progressive(25_000), "scans, too many to decode 2000 x 2000 pixels so often"),
        pytest.param(
            gif_with_long_comment(),
            "takes more than 0.5 seconds to decode",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            exif_of_many_long_values(),
            "takes more than (0.5 seconds|2,147,483,648 bytes)",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["scans", "gif", "exif"],
)
def test_small_images_that_take_minutes_or_gigabytes_stopped_the_server(
    exported, pictures, right_answer, content, words
):
    assert len(content) < 10 << 20
    with serving(Classifier(exported), Limits(decode_timeout=0.5, answer_timeout=1e6)) as url:
        for _ in range(3):
            response = requests.post(f"{url}/classify", data=content, timeout=PATIENCE)
            assert response.status_code == 422
            assert re.search(words, response.json()["detail"]), response.json()
        response = requests.post(f"{url}/classify?top=10", data=pictures[0], timeout=PATIENCE)
        assert_right(response.json(), right_answer(pictures[0]))


@pytest.mark.slow
def test_an_image_that_decodes_for_minutes_kept_the_server_from_stopping(exported):
    content = gif_with_long_comment(blocks=4_000_000)  # it takes more than ten minutes
    limits = ("--stop-timeout", 1, "--decode-timeout", 1e6, "--answer-timeout", 1e6)
    with serving_process(exported, *limits) as process, connect(process.port) as connection:
        head = f"POST /classify {HEAD}Content-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        server = psutil.Process(process.pid)
        wait_until(
            lambda: any(child.cpu_times().user > 0.5 for child in server.children(recursive=True))
        )
        children = server.children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
        assert b"503 " in ends(connection)
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_bodies_were_read_before_they_were_admitted_and_their_memory_stayed(exported):
    with serving_process(exported, "--max-queue", 4, "--body-timeout", 1e6) as process:
        url = f"http://127.0.0.1:{process.port}"
        memory = psutil.Process(process.pid).memory_info
        assert requests.get(f"{url}/health", timeout=PATIENCE).ok
        before, body = memory().rss, bytes(9 << 20)
        with contextlib.ExitStack() as stack:
            for _ in range(12):
                connection = stack.enter_context(connect(process.port))
                head = f"POST /classify {HEAD}Content-Length: {len(body) + 1}\r\n\r\n"
                with contextlib.suppress(ConnectionError):
                    connection.sendall(head.encode() + body)
            wait_until(lambda: memory().rss > before + 4 * len(body) * 0.9)
            response = requests.post(f"{url}/classify", data=b"x", timeout=PATIENCE)
            assert response.status_code == 503
            assert memory().rss < before + 5 * len(body)
        wait_until(lambda: memory().rss < before + len(body))


def test_a_slash_too_many_led_to_the_host_that_the_request_named(port):
    response = requests.post(
        f"http://127.0.0.1:{port}/classify/",
        headers={"Host": "elsewhere.example"},
        allow_redirects=False,
        timeout=PATIENCE,
    )
    assert response.status_code == 404
    assert "location" not in response.headers


def test_a_malformed_body_gave_a_traceback_in_the_log(exported, capfd):
    with serving(Classifier(exported)) as url:
        for path in ("/health", "/nowhere", "/classify"):
            with connect(int(url.rpartition(":")[2])) as connection:
                head = f"POST {path} {HEAD}Transfer-Encoding: chunked\r\n\r\n"
                connection.sendall(f"{head}xyz\r\n".encode())
                assert ends(connection).startswith(b"HTTP/1.1 400 ")
        assert requests.get(f"{url}/health", timeout=PATIENCE).ok
    logged = capfd.readouterr()
    assert "Traceback" not in logged.out + logged.err
