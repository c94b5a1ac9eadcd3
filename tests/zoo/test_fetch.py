"""Fetching from real servers on the loopback interface, good and bad ones."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from servers import Server, cut, endless, redirect, serving, slow, status, wrong_bytes

import zoo
from zoo import fetch as fetch_module
from zoo.__main__ import main
from zoo.store import open_store

NAME = "deeprect_small14"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fetch_module, "BACKOFF", 0.001)
    monkeypatch.delenv("DEEPRECT_ZOO_REPO", raising=False)
    monkeypatch.delenv("DEEPRECT_ZOO_OFFLINE", raising=False)


def cached(cache: Path, file: dict, suffix: str = "") -> Path:
    return cache / f"{file['sha256'][:32]}-{file['file']}{suffix}"


def read(server: Server, cache: Path, file: dict) -> None:
    """Read the weights, and see that they and what is in the cache are the published ones."""
    content = open_store(server.url, cache).read(file)
    assert hashlib.sha256(content).hexdigest() == file["sha256"]
    assert cached(cache, file).read_bytes() == content
    assert not list(cache.glob("*.part*"))


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_net_from_a_server(server, cache, file, published):
    net = zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache)
    local = zoo.get_model(NAME, pretrained=True, repo=published)
    for name, parameter in local.collect_params().items():
        assert (net.collect_params()[name].data() == parameter.data()).asnumpy().all()
    zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache)
    assert server.downloads() == [(200, 0)]


def test_the_cache_is_in_mxnet_home(server, file, tmp_path, monkeypatch):
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEEPRECT_ZOO_REPO", server.url)
    zoo.get_model(NAME, pretrained=True)
    assert cached(tmp_path / "home" / "models", file).exists()


def test_slow(server, cache, file):
    server.faults = [slow]
    read(server, cache, file)
    assert server.downloads() == [(200, 0)]


def test_cut_in_the_middle_is_resumed(server, cache, file):
    server.faults = [cut(1000), cut(500)]
    read(server, cache, file)
    assert server.downloads() == [(200, 0), (206, 1000), (206, 1500)]


def test_more_cuts_than_attempts_do_no_harm_as_long_as_bytes_arrive(server, cache, file):
    server.faults = [cut(300)] * 10
    read(server, cache, file)


def test_without_ranges_it_starts_anew(server, cache, file):
    server.ranges = False
    server.faults = [cut(1000)]
    read(server, cache, file)
    assert server.downloads() == [(200, 0), (200, 0)]


def test_without_validators_nothing_is_spliced(server, cache, file):
    server.validators = False
    server.faults = [cut(1000)]
    read(server, cache, file)
    assert server.downloads() == [(200, 0), (200, 0)]


def test_a_file_changed_between_two_parts_is_not_spliced(server, cache, file, store):
    path = store / "weights" / file["file"]
    good = path.read_bytes()
    path.write_bytes(bytes(len(good)))

    def cut_and_replace(handler, path):
        cut(1000)(handler, path)
        path.write_bytes(good)

    server.faults = [cut_and_replace]
    read(server, cache, file)
    assert server.downloads() == [(200, 0), (200, 0)]


def test_500_then_fine(server, cache, file):
    server.faults = [status(500), status(503), status(429)]
    read(server, cache, file)
    assert [code for code, _ in server.downloads()] == [500, 503, 429, 200]


def test_500_for_ever(server, cache, file):
    server.faults = [status(500)] * 100
    with pytest.raises(ConnectionError, match=r"cannot be fetched: http://.* answers HTTP 500"):
        read(server, cache, file)
    assert len(server.downloads()) == fetch_module.ATTEMPTS


def test_404_is_not_tried_again(server, cache, file, store):
    (store / "weights" / file["file"]).unlink()
    with pytest.raises(ConnectionError, match="answers HTTP 404 Not Found; check the connection"):
        read(server, cache, file)
    assert server.downloads() == [(404, 0)]


def test_redirect(server, cache, file, published):
    with serving(published) as other:
        server.faults = [redirect(other.url)]
        read(server, cache, file)
        assert other.downloads() == [(200, 0)]


def test_resuming_through_a_redirect(server, cache, file, published):
    with serving(published) as other:
        server.faults = [redirect(other.url), redirect(other.url)]
        other.faults = [cut(1000)]
        read(server, cache, file)
        assert other.downloads() == [(200, 0), (206, 1000)]


def test_wrong_bytes_once(server, cache, file):
    server.faults = [wrong_bytes]
    read(server, cache, file)
    assert server.downloads() == [(200, 0), (200, 0)]
    assert cached(cache, file, ".bad").stat().st_size == file["bytes"]


def test_wrong_bytes_always(server, cache, file, store):
    path = store / "weights" / file["file"]
    wrong_content = path.read_bytes()[:-1] + b"\xff"
    path.write_bytes(wrong_content)
    with pytest.raises(ValueError, match="was published with") as caught:
        read(server, cache, file)
    assert file["sha256"] in str(caught.value)
    assert hashlib.sha256(wrong_content).hexdigest() in str(caught.value)
    assert server.downloads() == [(200, 0), (200, 0)]
    assert not cached(cache, file).exists()


@pytest.mark.parametrize("change", [lambda c: c[:-7], lambda c: c + b"more", lambda c: b""])
def test_another_length(server, cache, file, store, change):
    path = store / "weights" / file["file"]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match="was published with"):
        read(server, cache, file)


def test_an_endless_answer_does_not_fill_the_disk(server, cache, file):
    server.faults = [endless]
    read(server, cache, file)
    assert cached(cache, file, ".bad").stat().st_size < file["bytes"] + (1 << 17)


def test_a_damaged_file_in_the_cache_is_set_aside_and_fetched_again(server, cache, file):
    read(server, cache, file)
    path = cached(cache, file)
    damaged = path.read_bytes()[:-1]
    path.write_bytes(damaged)
    read(server, cache, file)
    assert cached(cache, file, ".bad").read_bytes() == damaged
    assert server.downloads() == [(200, 0), (200, 0)]


def test_a_file_changed_without_a_trace_is_noticed(server, cache, file):
    """Change bytes but neither the size nor the time: only the digest differs."""
    read(server, cache, file)
    path = cached(cache, file)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read(server, cache, file)
    assert server.downloads() == [(200, 0), (200, 0)]


def test_mirrors_are_tried_in_order(server, cache, file, published):
    dead = f"http://127.0.0.1:{closed_port()}"
    content = open_store([dead, server.url], cache).read(file)
    assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_a_wrong_mirror_does_not_matter_if_another_is_right(server, cache, file, published):
    with serving(published) as good:
        server.faults = [wrong_bytes]
        open_store([server.url, good.url], cache).read(file)
        assert server.downloads() == good.downloads() == [(200, 0)]


def test_an_unreachable_store_falls_back_on_what_was_fetched(store, cache, file, caplog):
    with serving(store) as server:
        url = server.url
        zoo.get_model(NAME, pretrained=True, repo=url, root=cache)
    zoo.get_model(NAME, pretrained=True, repo=url, root=cache)
    assert "using the index fetched before" in caplog.text
    with pytest.raises(ConnectionError, match=f"no store can be read: {url}/index.json cannot"):
        zoo.get_model(NAME, pretrained=True, repo=url, root=cache / "empty")


def test_offline(server, cache, file, monkeypatch):
    main(["fetch", "--repo", server.url, "--root", str(cache)])
    before = len(server.requests)
    monkeypatch.setenv("DEEPRECT_ZOO_OFFLINE", "1")
    zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache)
    cached(cache, file).unlink()
    with pytest.raises(FileNotFoundError, match="is missing or damaged and DEEPRECT_ZOO_OFFLINE"):
        zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache)
    with pytest.raises(FileNotFoundError, match="is not asked, since DEEPRECT_ZOO_OFFLINE is set"):
        zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache / "empty")
    assert len(server.requests) == before


def test_offline_the_damaged_file_stays(server, cache, file, monkeypatch):
    read(server, cache, file)
    cached(cache, file).write_bytes(b"damaged")
    monkeypatch.setenv("DEEPRECT_ZOO_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="is missing or damaged"):
        zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache)
    assert cached(cache, file).read_bytes() == b"damaged"


def test_fetch_and_remove_on_the_command_line(server, cache, file, capsys):
    where = ["--root", str(cache)]
    main(["fetch", NAME, "fashion_mnist", "--repo", server.url, *where])
    assert capsys.readouterr().out == f"{cached(cache, file)}\n"
    main(["remove", NAME, *where])
    assert capsys.readouterr().out == f"{cached(cache, file)}\n"
    assert not cached(cache, file).exists()


def test_a_store_in_an_object_store(published, cache, file, make_run, tmp_path, few_images):
    """Use fsspec's memory file system in place of s3:// and the like; the code is the same."""
    memory, url = fsspec.filesystem("memory"), "memory://bucket/zoo"
    memory.put(str(published), "/bucket/zoo", recursive=True)
    first = open_store(url, cache).read(file)
    assert hashlib.sha256(first).hexdigest() == file["sha256"]
    main(["publish", str(make_run(tmp_path / "next", seed=1)), "--to", url])
    assert zoo.model_info(NAME, repo=url)["version"] == 2
    assert zoo.model_info(NAME, "fashion_mnist@1", repo=url)["weights"] == file
    zoo.get_model(NAME, pretrained=True, repo=url, root=cache)
    memory.rm("/bucket/zoo/weights", recursive=True)
    with pytest.raises(ConnectionError, match="memory://bucket/zoo/weights/.* cannot be read"):
        open_store(url, cache / "empty").read(file)


# Start processes that read the weights; the exit status is 0 if that of each is 0.
READERS = """
import json, os, sys
from zoo.store import open_store

url, root, file, count = sys.argv[1:]
children = []
for _ in range(int(count)):
    child = os.fork()
    if child == 0:
        open_store(url, root).read(json.loads(file))
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.slow
def test_eight_processes_download_once(server, cache, file):
    server.faults = [slow]
    command = [sys.executable, "-c", READERS, server.url, str(cache), json.dumps(file), "8"]
    subprocess.run(command, check=True)
    assert server.downloads() == [(200, 0)]
    read(server, cache, file)


READER = """
import json, sys
from zoo.store import open_store

url, root, file = sys.argv[1:]
open_store(url, root).read(json.loads(file))
"""


@pytest.mark.slow
def test_killed_while_downloading(server, cache, store):
    content = np.random.default_rng(0).bytes(300_000)
    file = {"file": "a.safetensors", "bytes": len(content)}
    file["sha256"] = hashlib.sha256(content).hexdigest()
    (store / "weights" / file["file"]).write_bytes(content)
    part = cached(cache, file, ".part")

    def kill_half_way(handler, path):
        def send(body):
            handler.wfile.write(body[:150_000])
            handler.wfile.flush()
            deadline = time.monotonic() + 60
            while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
                pass
            process.kill()
            process.wait()

        handler.serve(path.read_bytes(), send)
        handler.close_connection = True

    server.faults = [kill_half_way]
    command = [sys.executable, "-c", READER, server.url, str(cache), json.dumps(file)]
    process = subprocess.Popen(command)
    assert process.wait() == -signal.SIGKILL
    assert not cached(cache, file).exists()
    arrived = part.stat().st_size
    assert 0 < arrived <= 150_000
    assert content.startswith(part.read_bytes())
    read(server, cache, file)
    assert server.downloads() == [(200, 0), (206, arrived)]
