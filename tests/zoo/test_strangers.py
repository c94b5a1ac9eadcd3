"""What strangers' servers, folders and indices did, and full, closed or shared caches."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import fsspec
import pytest
from filelock import FileLock
from servers import cut_and_renewed, drip, endless, gzip_bomb, page, redirect, serving

import zoo
from zoo import fetch as fetch_module
from zoo import places
from zoo.publishing.publish import publish
from zoo.store import open_store

NAME = "deeprect_small14"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fetch_module, "BACKOFF", 0.001)
    monkeypatch.delenv("DEEPRECT_ZOO_REPO", raising=False)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(places, "PATIENCE", 1)
    monkeypatch.setattr(places, "SLOWEST", 1 << 40)


def cached(cache: Path, file: dict) -> Path:
    return cache / f"{file['sha256'][:32]}-{file['file']}"


def is_right(content: bytes, file: dict) -> bool:
    return hashlib.sha256(content).hexdigest() == file["sha256"]


# Servers


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (endless, r"index\.json has more than 4,194,304 bytes; it is not read"),
        (gzip_bomb, r"index\.json is sent compressed, which was not asked for"),
    ],
)
def test_an_index_without_end_is_not_read_into_memory(server, cache, fault, message, monkeypatch):
    monkeypatch.setenv("DEEPRECT_ZOO_PUBLIC_KEY", "00" * 32)  # it must not matter
    server.index_fault = fault
    with pytest.raises(ConnectionError, match=message):
        open_store(server.url, cache).entries  # noqa: B018 - fetches


def test_compressed_weights_are_not_decoded(server, cache, file):
    server.faults = [gzip_bomb]
    with pytest.raises(ConnectionError, match="is sent compressed"):
        open_store(server.url, cache).read(file)


def test_the_body_of_a_redirection_is_not_read(server, cache, file, published):
    with serving(published) as other:
        server.faults = [redirect(other.url, bytes(1 << 20), times=100)]
        assert is_right(open_store(server.url, cache).read(file), file)
        assert server.sent < 30 << 20


def test_https_is_not_left_for_http(store, cache, file, published, tmp_path, monkeypatch):
    certificate = tmp_path / "server.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {certificate} -out {tmp_path}/cert.pem"
    )
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, which makes a certificate")
    subprocess.run(command.split(), check=True, capture_output=True)
    with certificate.open("a") as whole:
        whole.write((tmp_path / "cert.pem").read_text())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{tmp_path}/cert.pem")
    with serving(store, certificate) as secure, serving(published) as plain:
        other = open_store(secure.url, cache)
        assert other.entries
        secure.faults = [redirect(plain.url)]
        with pytest.raises(ConnectionError, match="redirects from https to http://"):
            other.read(file)
        assert plain.requests == []
        secure.faults = [redirect(secure.url)]
        assert is_right(other.read(file), file)


def test_a_log_in_page_does_not_hide_the_index_that_is_there(server, cache, file, caplog):
    open_store(server.url, cache).read(file)
    assert open_store(server.url, cache).entries
    server.index_fault = page
    assert zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache).classes
    assert "is not JSON" in caplog.text
    assert "using the index fetched before" in caplog.text
    with pytest.raises(ValueError, match="is not JSON"):
        open_store(server.url, cache / "empty").entries  # noqa: B018 - fetches


@pytest.mark.parametrize("at_once", [10, 1000])
def test_a_byte_now_and_then_is_given_up(server, cache, file, impatient, at_once):
    """Whether they are bytes of the headers or of the body."""
    server.index_fault = drip(at_once)
    with pytest.raises(ConnectionError, match=r"index\.json was not delivered in 1 seconds"):
        open_store(server.url, cache).entries  # noqa: B018 - fetches
    server.index_fault = None
    server.faults = [drip(at_once)]
    with pytest.raises(ConnectionError, match="safetensors was not delivered in 1 seconds"):
        open_store(server.url, cache).read(file)
    assert len(server.downloads()) == 1
    assert is_right(open_store(server.url, cache).read(file), file)


def test_a_bucket_that_hangs_is_given_up(published, cache, impatient, monkeypatch):
    memory, url = fsspec.filesystem("memory"), "memory://bucket/hanging"
    memory.put(str(published), "/bucket/hanging", recursive=True)
    end = threading.Event()
    monkeypatch.setattr(type(memory), "info", lambda *args, **kwargs: end.wait(60))
    try:
        with pytest.raises(ConnectionError, match=r"index\.json was not delivered in 1 seconds"):
            open_store(url, cache).entries  # noqa: B018 - fetches
    finally:
        end.set()


@pytest.mark.parametrize("note", [b"", b"[]", b"\xff\xfe", b"[" * 5000, b"\n\n"])
def test_a_strange_note_beside_a_part_is_no_traceback(server, cache, file, note):
    cache.mkdir()
    (cache / f"{cached(cache, file).name}.part").write_bytes(b"something")
    (cache / f"{cached(cache, file).name}.part.origin").write_bytes(note)
    assert is_right(open_store(server.url, cache).read(file), file)
    assert server.downloads() == [(200, 0)]


def test_a_server_that_cuts_in_turn_and_renews_the_file_is_not_asked_for_ever(server, cache, file):
    server.faults = [cut_and_renewed(1000), cut_and_renewed(500)] * 100
    with pytest.raises(ConnectionError, match="was cut after"):
        open_store(server.url, cache).read(file)
    assert len(server.downloads()) <= fetch_module.ATTEMPTS


def test_a_slow_store_does_not_keep_others_waiting(server, cache, published):
    """Before Python 3.12 a cached property has one lock for all objects of a class."""
    asked, answer = threading.Event(), threading.Event()

    def wait(handler, path):
        asked.set()
        answer.wait(60)
        page(handler, path)

    server.index_fault = wait
    entries: list = []
    slow = threading.Thread(target=lambda: open_store([server.url, published], cache).entries)
    other = threading.Thread(target=lambda: entries.extend(open_store(published).entries))
    slow.start()
    try:
        assert asked.wait(60)
        other.start()
        other.join(20)
        assert entries
        assert slow.is_alive()
    finally:
        answer.set()
        slow.join()
        other.join()


def test_strange_headers_are_no_traceback(server, cache, file):
    def strange(handler, path):
        handler.note(200)
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: \xb2\r\n\r\n" + path.read_bytes())

    def lost(handler, path):
        handler.note(302)
        handler.wfile.write(b"HTTP/1.0 302 Found\r\nLocation: http://[::1/x\r\n\r\n")

    server.faults = [lost, strange]
    assert is_right(open_store(server.url, cache).read(file), file)


# Copies


def test_a_damaged_first_copy_does_not_keep_the_second_from_being_asked(
    store, cache, file, published, caplog
):
    (store / "weights" / file["file"]).write_bytes(b"damaged")
    (store / "index.json").write_bytes(b"damaged")
    both = open_store([store, published], cache)
    assert both.entries == open_store(published).entries
    assert is_right(both.read(file), file)
    assert both.path(file).parent == published / "weights"
    assert "is not JSON" in caplog.text
    assert "is not the published file" in caplog.text
    with serving(published) as server:
        assert is_right(open_store([store, server.url], cache).read(file), file)
    with serving(store) as damaged, serving(published) as server:
        both = open_store([damaged.url, server.url], cache)
        assert is_right(both.read(file), file)


@pytest.mark.parametrize("kind", ["pipe", "link", "directory", "device"])
@pytest.mark.parametrize("what", ["index", "weights"])
def test_what_is_no_regular_file_is_refused(store, cache, file, kind, what, published):
    path = store / {"index": "index.json", "weights": f"weights/{file['file']}"}[what]
    path.rename(store / "elsewhere")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(store / "elsewhere" if kind == "link" else "/dev/zero")
    with pytest.raises(OSError, match="cannot be read .it is (a link|no regular file)"):
        zoo.get_model(NAME, pretrained=True, repo=store, root=cache)
    assert zoo.get_model(NAME, pretrained=True, repo=[store, published], root=cache).classes


def test_installers_may_link_the_files_of_the_package(store, published, monkeypatch):
    for path in [p for p in store.rglob("*") if p.is_file()]:
        path.unlink()
        path.symlink_to(published / path.relative_to(store))
    monkeypatch.setattr(places, "DEFAULT", store)
    assert zoo.get_model(NAME, pretrained=True, repo=store).classes


# The cache


@pytest.mark.parametrize("mine", ["resnet50_v1-my.params", "vgg19-1234.safetensors"])
def test_an_index_cannot_reach_other_files_in_the_cache(server, cache, store, mine):
    cache.mkdir()
    (cache / mine).write_bytes(b"the user's own")
    index = json.loads((store / "index.json").read_text())
    weights = index["entries"][0]["weights"]
    (store / "weights" / weights["file"]).rename(store / "weights" / mine)
    weights["file"] = mine
    (store / "index.json").write_text(json.dumps(index))
    zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache)
    open_store(root=cache).remove("vgg19")
    assert (cache / mine).read_bytes() == b"the user's own"
    assert not list(cache.glob("*.bad"))


def test_a_file_grown_to_50_gigabytes_is_not_read(server, cache, store, file):
    open_store(server.url, cache).read(file)
    os.truncate(cached(cache, file), 50_000_000_000)
    assert is_right(open_store(server.url, cache).read(file), file)
    os.truncate(store / "weights" / file["file"], 50_000_000_000)
    with pytest.raises(ValueError, match=f"has 50000000000 bytes, not {file['bytes']}"):
        open_store(store, cache / "empty").read(file)


def test_another_process_is_not_waited_for_without_limit(server, cache, file, impatient):
    cache.mkdir()
    lock = cache / f".{cached(cache, file).name}.lock"
    with FileLock(lock), pytest.raises(TimeoutError, match=f"has kept {lock} locked for 1 sec"):
        open_store(server.url, cache).read(file)
    assert is_right(open_store(server.url, cache).read(file), file)


def test_publishing_does_not_wait_for_another_without_limit(run, store, few_images, impatient):
    with FileLock(store / ".lock"), pytest.raises(TimeoutError, match=r"has kept .*\.lock locked"):
        publish(run, to=store)


@pytest.fixture
def mounted(tmp_path):
    """A file system of half a megabyte."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_named_and_leaves_nothing_wrong(server, mounted, store, run, few_images):
    content = os.urandom(600_000)
    file = {"file": "a", "bytes": 600_000, "sha256": hashlib.sha256(content).hexdigest()}
    (store / "weights" / "a").write_bytes(content)
    cache = open_store(server.url, mounted)
    with pytest.raises(OSError, match=rf"^{mounted} cannot be written .No space left on device.; "):
        cache.read(file)
    assert not cached(mounted, file).exists()
    (mounted / "fill").write_bytes(bytes(max(0, shutil.disk_usage(mounted).free - 8192)))
    with pytest.raises(OSError, match=f"^{mounted} cannot be written .No space"):
        publish(run, to=mounted)
    assert not (mounted / "index.json").exists()
    (mounted / "fill").unlink()
    subprocess.run(["mount", "-o", "remount,size=2m", str(mounted)], check=True)
    assert is_right(cache.read(file), file)


def test_a_cache_that_cannot_be_written_serves_what_it_holds(server, mounted, file, run, caplog):
    open_store(server.url, mounted).read(file)
    assert open_store(server.url, mounted).entries
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    assert zoo.get_model(NAME, pretrained=True, repo=server.url, root=mounted).classes
    assert not caplog.text
    index = server.folder / "index.json"
    index.write_text(index.read_text() + "\n")
    assert zoo.get_model(NAME, pretrained=True, repo=server.url, root=mounted).classes
    assert "the index is not kept" in caplog.text


@pytest.mark.parametrize("below", [".", "models"])
def test_a_cache_that_is_a_file_is_named(server, cache, file, below):
    cache.write_text("")
    with pytest.raises(OSError, match=f"^{cache / below} cannot be written .a file is in its way."):
        zoo.get_model(NAME, pretrained=True, repo=server.url, root=cache / below)


# Others


def test_the_store_in_the_environment_may_have_a_space(published, tmp_path, monkeypatch):
    folder = shutil.copytree(published, tmp_path / "my zoo")
    monkeypatch.setenv("DEEPRECT_ZOO_REPO", f"'{folder}' http://127.0.0.1:9")
    assert zoo.list_models(pretrained=True) == [NAME]
    monkeypatch.setenv("DEEPRECT_ZOO_REPO", "/o'brien")
    with pytest.raises(ValueError, match="DEEPRECT_ZOO_REPO=/o'brien cannot be split"):
        zoo.list_models(pretrained=True)


def test_a_bucket_that_cannot_be_read_is_not_published_anew(
    published, run, few_images, monkeypatch
):
    memory, url = fsspec.filesystem("memory"), "memory://bucket/forbidden"
    memory.put(str(published), "/bucket/forbidden", recursive=True)
    before = memory.cat("/bucket/forbidden/index.json")

    def forbid(*args, **kwargs):
        raise PermissionError("forbidden")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "info", forbid)
        with pytest.raises(OSError, match="cannot be read .PermissionError: forbidden"):
            publish(run, to=url)
    assert memory.cat("/bucket/forbidden/index.json") == before
