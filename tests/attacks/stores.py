"""Servers that lie, folders with anything in them, and caches that others left."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import random
import shutil
from pathlib import Path
from typing import Callable, Iterator

import numpy as np

from tests.attacks.weights import put, small_entry
from tests.zoo import servers
from tests.zoo.test_weights import mutated
from zoo import fetch, places
from zoo.store import open_store
from zoo.weights import encode

LINES = (
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Partial Content", b"HTTP/1.0 304 Not Modified"),
    *(b"HTTP/1.1 302 Found", b"HTTP/1.1 100 Continue", b"HTTP/1.1 999 \xff", b"HTTP/9", b"\0\0"),
    *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: \xb2", b"ETag: \xff"),
    *(b"Content-Length: " + b"9" * 5000, b"Transfer-Encoding: chunked", b"no header"),
    *(b"Content-Range: bytes 5-9/10", b"Content-Range: bytes 0-/*", b"Content-Encoding: gzip"),
    *(b"Location: http://[::1/", b"Location: file:///etc/passwd", b"Location: //:x", b""),
    *(b"Location: /", b"Location: http://\xff\xfe.\x00/", b"X: " + b"x" * 70_000, b"5\r\nabcde"),
)


def raw(rng: random.Random) -> Callable:
    """Answer with lines of HTTP in any order, and perhaps the file behind them."""
    lines = [LINES[rng.randrange(3)], *rng.choices(LINES, k=rng.randrange(8)), b""]
    if rng.random() < 0.2:
        rng.shuffle(lines)
    whole = rng.random() < 0.5

    def fault(handler: servers.Handler, path: Path) -> None:
        with contextlib.suppress(OSError):
            handler.wfile.write(b"\r\n".join([*lines, path.read_bytes() if whole else b""]))
        handler.close_connection = True

    return fault


def changed(rng: random.Random) -> Callable:
    """Serve another file, with a right length and tag."""
    return lambda handler, path: handler.serve(mutated(path.read_bytes(), rng))


def faults(rng: random.Random, url: str) -> Callable:
    """Return a random fault of a server."""
    return rng.choice(
        [
            *(servers.endless, servers.gzip_bomb, servers.page, servers.slow, servers.wrong_bytes),
            *(servers.cut(rng.randrange(2000)), servers.cut_and_renewed(rng.randrange(2000))),
            *(servers.status(rng.choice([404, 416, 429, 500, 503])), changed(rng), changed(rng)),
            *(servers.redirect(url), servers.redirect("//["), servers.redirect(url + "/nothing")),
            *(
                servers.redirect(url, bytes(1 << 16), 100),
                servers.drip(rng.randrange(3000)),
                raw(rng),
                raw(rng),
                raw(rng),
            ),
        ]
    )


def spoil(path: Path, rng: random.Random) -> None:
    """Put something else in the place of a file, if there is one."""
    content = path.read_bytes() if path.is_file() else b"nothing"
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    kind = rng.randrange(8)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to("/dev/zero")
    elif kind == 3:
        path.write_bytes(content)
        os.truncate(path, 50_000_000_000)
    elif kind < 7:
        path.write_bytes(mutated(content, rng))


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable]:
    fetch.BACKOFF, places.PATIENCE, places.SLOWEST = 0.001, 1, 1 << 40
    entry, arrays = small_entry()
    put(folder, entry, encode(arrays, "float16"))
    file = dict(entry["weights"])
    good = shutil.copytree(folder, folder / "good")
    name = f"{file['sha256'][:32]}-{file['file']}"

    def trial(generator: np.random.Generator) -> str:
        rng = random.Random(int(generator.integers(1 << 62)))
        bad, cache = folder / "bad", folder / "cache"
        for path in (bad, cache):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(good, bad)
        cache.mkdir()
        (cache / "mine.params").write_bytes(b"mine")
        for path in (bad / "index.json", bad / "weights" / file["file"], cache / name):
            if rng.random() < 0.3:
                spoil(path, rng)
        if rng.random() < 0.3:
            for suffix in (".part", ".part.origin"):
                (cache / f"{name}{suffix}").write_bytes(rng.choice([b"", b"\xff", b"a\nb"]))
        server.faults = [faults(rng, other.url) for _ in range(rng.randrange(6))]
        other.faults = [faults(rng, server.url) for _ in range(rng.randrange(3))]
        server.index_fault = faults(rng, other.url) if rng.random() < 0.3 else None
        copies = rng.sample([server.url, other.url, str(bad)], rng.randrange(1, 4))
        store = open_store(copies, cache)
        try:
            assert isinstance(store.entries, list)
            content = store.read(file)
        except (ValueError, OSError) as error:
            outcome, message = "refused", str(error)
        else:
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
            outcome, message = "read right", ""
        assert not message.startswith("[Errno"), message
        assert (cache / "mine.params").read_bytes() == b"mine"
        assert len(list(cache.glob("*.params"))) == 1
        return outcome

    start = functools.partial(servers.serving, good)
    with servers.serving(folder / "bad") as server, start() as other:
        yield trial
