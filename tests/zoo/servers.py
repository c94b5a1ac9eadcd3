"""Real HTTP servers on the loopback interface that misbehave in stated ways."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable, Iterator


class Server(ThreadingHTTPServer):
    """Serves a folder.

    `faults` are functions of (handler, path); the first one left is called in place of a normal
    answer to a request for weights, and taken off the list.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.faults: list[Callable] = []
        self.requests: list[tuple] = []
        self.ranges = self.validators = True
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

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


def slow(handler: Handler, path: Path) -> None:
    """Send in many small pieces."""

    def drip(body: bytes) -> None:
        pause = threading.Event()
        for i in range(0, len(body), 200):
            handler.wfile.write(body[i : i + 200])
            handler.wfile.flush()
            pause.wait(0.001)

    handler.serve(path.read_bytes(), drip)


def redirect(url: str) -> Callable:
    def fault(handler: Handler, path: Path) -> None:
        handler.note(302)
        handler.send_response(302)
        handler.send_header("Location", url + handler.path)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return fault


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
