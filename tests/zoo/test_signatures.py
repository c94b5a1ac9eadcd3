"""Signatures of an index."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nacl.signing
import pytest
from servers import serving

import zoo
from zoo.publishing.publish import publish
from zoo.publishing.signing import sign
from zoo.signatures import signature_name
from zoo.store import open_store

NAME = "deeprect_small14"
KEY, OTHER = (nacl.signing.SigningKey(bytes([i]) * 32) for i in (1, 2))


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("DEEPRECT_ZOO_SECRET_KEY", KEY.encode().hex())


@pytest.fixture
def public(monkeypatch):
    monkeypatch.setenv("DEEPRECT_ZOO_PUBLIC_KEY", KEY.verify_key.encode().hex())


@pytest.fixture
def signed(run, store, secret, few_images):
    publish(run, to=store)
    return store


def test_signed(signed, public):
    assert zoo.model_info(NAME, repo=signed)["version"] == 2


def test_signed_on_a_server_and_from_the_cache(signed, public, tmp_path, monkeypatch):
    with serving(signed) as server:
        zoo.get_model(NAME, pretrained=True, repo=server.url, root=tmp_path / "cache")
    monkeypatch.setenv("DEEPRECT_ZOO_OFFLINE", "1")
    zoo.get_model(NAME, pretrained=True, repo=server.url, root=tmp_path / "cache")


def test_not_signed(store, public):
    with pytest.raises(ValueError, match="is not signed, but DEEPRECT_ZOO_PUBLIC_KEY is set"):
        zoo.model_info(NAME, repo=store)


def test_not_signed_on_a_server(store, public, tmp_path):
    with serving(store) as server, pytest.raises(ValueError, match="is not signed, but"):
        zoo.get_model(NAME, pretrained=True, repo=server.url, root=tmp_path)


def test_signed_by_another(signed, monkeypatch):
    monkeypatch.setenv("DEEPRECT_ZOO_PUBLIC_KEY", OTHER.verify_key.encode().hex())
    with pytest.raises(ValueError, match="was not signed with the key in DEEPRECT_ZOO_PUBLIC_KEY"):
        zoo.model_info(NAME, repo=signed)


def test_a_changed_index_with_an_old_signature(signed, public):
    path = signed / "index.json"
    old = path.read_bytes()
    new = old.replace(b'"images": 10000', b'"images": 10001')
    path.write_bytes(new)
    (signed / signature_name(old)).rename(signed / signature_name(new))
    with pytest.raises(ValueError, match="was not signed with the key"):
        zoo.model_info(NAME, repo=signed)


def with_mirrors(store: Path, *mirrors: str) -> dict:
    """Name mirrors in the index, and take the weights away; return what they were."""
    index = json.loads((store / "index.json").read_text())
    file = index["entries"][-1]["weights"]
    (store / "weights" / file["file"]).unlink()
    content = json.dumps({**index, "mirrors": mirrors}).encode()
    (store / "index.json").write_bytes(content)
    (store / signature_name(content)).write_bytes(sign(content, KEY.encode()))
    return file


def test_a_mirror_that_a_signed_index_names_is_asked(signed, public, tmp_path):
    """Also if other mirrors have schemes that are not installed, or are down."""
    good = shutil.copytree(signed, tmp_path / "good")
    with serving(good) as mirror, serving(signed) as main:
        file = with_mirrors(signed, "nonsense://a", "file:///etc", mirror.url)
        open_store(main.url, tmp_path / "cache").read(file)
        assert [status for status, _ in main.downloads()] == [404]
        assert mirror.downloads() == [(200, 0)]


def test_a_stranger_cannot_choose_which_addresses_are_called(signed, tmp_path):
    good = shutil.copytree(signed, tmp_path / "good")
    with serving(good) as mirror:
        file = with_mirrors(signed, mirror.url)
        with pytest.raises(FileNotFoundError, match="is missing in"):
            open_store(signed, tmp_path / "cache").read(file)
        assert mirror.requests == []


def test_an_older_index_is_not_taken_though_its_signature_is_right(
    run, signed, public, tmp_path, caplog
):
    cache, file = tmp_path / "cache", zoo.model_info(NAME, repo=signed)["weights"]
    old = shutil.copytree(signed, tmp_path / "old")
    with serving(signed) as server:
        publish(run, to=signed)
        assert open_store(server.url, cache).entries[-1]["version"] == 3
        for path in old.glob("index.*"):
            shutil.copy(path, signed)
        assert open_store(server.url, cache).entries[-1]["version"] == 3
        assert "is older than one fetched before, which has version 3" in caplog.text
        with serving(old) as copy:
            assert open_store([copy.url, server.url], cache).entries[-1]["version"] == 3
        # Who knows of no newer one cannot tell.
        assert open_store(server.url, tmp_path / "empty").entries[-1]["weights"] == file


def test_a_server_that_is_down_does_not_bring_an_older_copy_back(run, signed, public, tmp_path):
    old = shutil.copytree(signed, tmp_path / "old")
    publish(run, to=signed)
    with serving(old) as copy:
        with serving(signed) as server:
            url = server.url
            open_store([url, copy.url], tmp_path / "cache").entries  # noqa: B018 - fetches
        assert open_store([url, copy.url], tmp_path / "cache").entries[-1]["version"] == 3


def test_a_signed_store_is_not_extended_without_the_key(run, signed, monkeypatch):
    monkeypatch.delenv("DEEPRECT_ZOO_SECRET_KEY")
    with pytest.raises(ValueError, match="is signed; put its key into DEEPRECT_ZOO_SECRET_KEY"):
        publish(run, to=signed)


@pytest.mark.parametrize("value", ["abc", "zz" * 32, "00" * 31])
def test_what_is_not_a_key(store, monkeypatch, value):
    monkeypatch.setenv("DEEPRECT_ZOO_PUBLIC_KEY", value)
    with pytest.raises(ValueError, match="DEEPRECT_ZOO_PUBLIC_KEY is not a key: give 64 hex"):
        zoo.model_info(NAME, repo=store)


def test_the_packages_own_store_needs_no_signature(public):
    zoo.list_models(pretrained=True)
