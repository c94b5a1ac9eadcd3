"""Real HTTP servers on the loopback interface that misbehave in stated ways."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import ssl
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable, Iterator

COUNTER = itertools.count()


class Server(ThreadingHTTPServer):
    """Serves a folder.

    `faults` are functions of (handler, path); the first one left is called in place of a normal
    answer to a request for weights, and taken off the list. `index_fault` is called in place of
    every answer to a request for the index.
    """

    daemon_threads = True
    scheme = "http"

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.faults: list[Callable] = []
        self.index_fault: Callable | None = None
        self.requests: list[tuple] = []
        self.ranges = self.validators = True
        self.sent = 0  # bytes of bodies of redirections
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def downloads(self) -> list[tuple]:
        """Return (status, first byte) of each answer to a request for weights."""
        return [r[1:] for r in self.requests if r[0].endswith(".safetensors")]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):  # noqa: N802
        path = self.server.folder / self.path.lstrip("/")
        with self.server.guard:
            faulty = self.path.endswith(".safetensors") and self.server.faults
            fault = self.server.faults.pop(0) if faulty else None
        if self.path.endswith("index.json"):
            fault = self.server.index_fault
        if fault:
            fault(self, path)
        elif path.is_file():
            self.serve(path.read_bytes())
        else:
            self.refuse(404)

    def note(self, status: int, start: int = 0) -> None:
        with self.server.guard:
            self.server.requests.append((self.path, status, start))

    def refuse(self, status: int) -> None:
        self.note(status)
        self.send_error(status)

    def serve(self, content: bytes, send: Callable | None = None) -> None:
        """Answer as a good server does; `send` writes the body."""
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = 0
        if wanted and self.server.ranges and self.headers.get("If-Range", tag) == tag:
            start = int(wanted.group(1))
        self.note(206 if start else 200, start)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.validators:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        (send or self.wfile.write)(content[start:])


def cut(at: int) -> Callable:
    """Close the connection after so many bytes of the body."""

    def fault(handler: Handler, path: Path) -> None:
        handler.serve(path.read_bytes(), lambda body: handler.wfile.write(body[:at]))
        handler.close_connection = True

    return fault


def status(code: int) -> Callable:
    return lambda handler, path: handler.refuse(code)


def wrong_bytes(handler: Handler, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    handler.serve(bytes(content))


def endless(handler: Handler, path: Path) -> None:
    """Send without a length and without an end."""
    handler.note(200)
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(bytes(1 << 16))


def drip(at_once: int) -> Callable:
    """Send so many bytes of headers and body, and then one more every tenth of a second."""

    def fault(handler: Handler, path: Path) -> None:
        handler.note(200)
        content = path.read_bytes()
        answer = b'HTTP/1.0 200 OK\r\nETag: "x"\r\nContent-Length: %d\r\n\r\n' % len(content)
        answer += content
        with contextlib.suppress(OSError):
            handler.wfile.write(answer[:at_once])
            for byte in answer[at_once:]:
                handler.wfile.write(bytes([byte]))
                threading.Event().wait(0.1)

    return fault


def cut_and_renewed(at: int) -> Callable:
    """Close the connection after so many bytes, and say that the file is another one each time."""

    def fault(handler: Handler, path: Path) -> None:
        handler.note(200)
        handler.send_response(200)
        handler.send_header("ETag", f'"{next(COUNTER)}"')
        handler.send_header("Content-Length", str(path.stat().st_size))
        handler.end_headers()
        handler.wfile.write(path.read_bytes()[:at])
        handler.close_connection = True

    return fault


def page(handler: Handler, path: Path) -> None:
    """Answer as the log-in page of a hotel does."""
    handler.serve(b"<html>Welcome! Please log in.</html>")


def gzip_bomb(handler: Handler, path: Path) -> None:
    """Send a gigabyte of zeros in a megabyte."""
    handler.note(200)
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    packer, zeros = zlib.compressobj(wbits=31), bytes(1 << 20)
    with contextlib.suppress(OSError):
        for _ in range(1024):
            handler.wfile.write(packer.compress(zeros))
        handler.wfile.write(packer.flush())


def slow(handler: Handler, path: Path) -> None:
    """Send in many small pieces."""

    def drip(body: bytes) -> None:
        pause = threading.Event()
        for i in range(0, len(body), 200):
            handler.wfile.write(body[i : i + 200])
            handler.wfile.flush()
            pause.wait(0.001)

    handler.serve(path.read_bytes(), drip)


def redirect(url: str, body: bytes = b"", times: int = 1) -> Callable:
    def fault(handler: Handler, path: Path) -> None:
        handler.note(302)
        handler.send_response(302)
        handler.send_header("Location", url + handler.path)
        handler.send_header("Content-Length", str(len(body) * times))
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(times):
                handler.wfile.write(body)
                handler.server.sent += len(body)

    return fault


@contextlib.contextmanager
def serving(folder: Path, certificate: Path | None = None) -> Iterator[Server]:
    server = Server(folder)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
