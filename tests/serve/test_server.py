"""The server process: stopped by a signal while it works, or started on a port that is taken."""

import json
import signal
import socket

import pytest
from serving import PATIENCE, assert_right, serving_process, wait_until

from deeprect_gluon import serve


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def test_sigterm_lets_a_request_finish(exported, pictures, right_answer):
    content = pictures[0]
    head = (
        "POST /classify?top=10 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    with serving_process(exported) as process:
        place = ("127.0.0.1", process.port)
        with socket.create_connection(place, timeout=PATIENCE) as connection:
            connection.sendall(head.encode())
            file = connection.makefile("rb")
            assert file.readline().startswith(b"HTTP/1.1 100 ")  # it waits for the body
            assert file.readline() == b"\r\n"
            connection.sendall(content[:100])
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: not is_listening(process.port))
            assert process.poll() is None
            connection.sendall(content[100:])
            head, _, body = file.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert_right(json.loads(body), right_answer(content))
        assert process.wait(PATIENCE) == 0


@pytest.fixture
def signals():
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers):
        signal.signal(number, handler)


def test_a_port_that_is_taken_ends_the_start(exported, signals, capfd):
    app = serve.create_app(serve.Classifier(exported))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ended:
        serve.run(serve.configure(app, port=taken.getsockname()[1]))
    assert ended.value.code
    assert "address already in use" in capfd.readouterr().err
