"""The store that comes with the package, on a machine without network and with an empty cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo import index
from zoo.publishing import cards
from zoo.publishing.verify import verify
from zoo.store import DEFAULT, open_store

CARDS = Path(__file__).parents[2] / "docs" / "cards"


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPRECT_ZOO_OFFLINE", "1")
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    return open_store(DEFAULT)


@pytest.mark.release
def test_every_net_has_its_published_error(shipped):
    found = verify(shipped, metrics=True)
    assert found
    assert set(found.values()) == {None}


def test_sizes(shipped):
    sizes = [path.stat().st_size for path in (DEFAULT / "weights").glob("*")]
    assert max(sizes, default=0) < 90e6
    assert sum(sizes) < 150e6


def test_every_file_belongs_to_an_entry(shipped):
    named = {e[kind]["file"] for e in shipped.entries for kind in ("weights", "history")}
    assert {path.name for path in (DEFAULT / "weights").glob("*")} == named


def test_the_cards_are_those_of_the_index(shipped):
    for entry in index.latest(shipped.entries):
        title = index.title(entry)
        assert (CARDS / f"{title}.png").exists()
        assert (CARDS / f"{title}.md").read_text() == cards.card(entry, f"{title}.png")
