"""Signatures of an index."""

from __future__ import annotations

import nacl.signing
import pytest
from servers import serving

import zoo
from zoo.publishing.publish import publish
from zoo.signatures import signature_name

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
