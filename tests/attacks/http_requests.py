"""Mutated HTTP requests to a real server: each is answered, or its connection ends."""

import contextlib
import logging
import socket

import numpy as np

import zoo
from deeprect_gluon.export import export_onnx
from deeprect_gluon.serve import Classifier, Limits
from tests.serve.serving import encode, noise, serving

IMAGE = encode(noise(20, 24), "PNG")
HEADS = (
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /metadata HTTP/1.0\r\n\r\n",
    "HEAD /openapi.json HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
    "GET /health HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "POST /classify/ HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 0\r\n\r\n",
    "POST /classify?top=3 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    "Content-Length: {}\r\n\r\n",
    "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
    "POST /classify?top=99 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
    "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
)
PIECES = (
    *(b"\r\n", b"\n", b"\0", b"\xff", b" ", b":", b"%", b"%00", b"%ff", b"?top=", b"&top=2", b"\r"),
    *(
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b"-1",
        b"/",
        b"//",
    ),
    *(
        b"9" * 30,
        b"Host: y\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"HTTP/2.0",
    ),
    *(
        b"a" * 70_000,
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"top=" + b"9" * 5000,
        b"..",
        b";",
    ),
)


class _Errors(logging.Handler):
    """Keep what the server logs as an error: nothing that a client sends is one."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []

    def emit(self, record):
        self.found.append(self.format(record))


def _mutate(random: np.random.Generator) -> bytes:
    requests = b""
    for _ in range(random.integers(1, 4)):  # pipelined
        head = HEADS[random.integers(len(HEADS))]
        body = IMAGE if "{" in head else b""
        request = bytearray(head.format(len(body)).encode() + body)
        if "chunked" in head:
            request += b"\r\n0\r\n\r\n"
        for _ in range(random.integers(4)):
            place = int(random.integers(min(len(request), 120)))
            kind = random.integers(3)
            if kind == 0:
                request[place] = random.integers(256)
            elif kind == 1:
                request[place:place] = PIECES[random.integers(len(PIECES))]
            else:
                del request[place : place + int(random.integers(1, 20))]
        requests += request
    return (
        requests[: int(random.integers(len(requests) + 1))] if random.random() < 0.2 else requests
    )


@contextlib.contextmanager
def attack(folder):
    export_onnx(zoo.get_model("deeprect_small14", pretrained=True), folder / "net")
    errors = _Errors()
    logger = logging.getLogger("uvicorn.error")
    limits = Limits(body_timeout=0.05)
    with serving(Classifier(folder / "net"), limits, idle_timeout=0.05) as url:
        logging.disable(logging.WARNING)
        logger.addHandler(errors)
        place = ("127.0.0.1", int(url.rpartition(":")[2]))

        def trial(random):
            with socket.create_connection(place, timeout=30) as connection:
                answer = b""
                with contextlib.suppress(ConnectionError):
                    connection.sendall(_mutate(random))
                    while part := connection.recv(65536):
                        answer += part
            assert not errors.found, errors.found
            assert b" 500 " not in answer[:20], answer
            assert b"location" not in answer.lower(), answer
            status = answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/1.1 ") else ""
            assert answer == b"" or status, answer
            return status or "no answer"

        yield trial
    logging.disable(logging.NOTSET)
