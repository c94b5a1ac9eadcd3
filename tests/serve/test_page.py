"""The page in a real browser: a dropped picture gets its classes, anything else a sentence."""

import pytest
from browser import PROGRAM, Browser
from serving import encode, noise, serving

from deeprect_gluon.serve import Classifier, Limits

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="needs Chromium (Debian: apt-get install chromium-headless-shell)"
)

ROWS = """[...document.querySelectorAll("#classes li")].map((row) => [
  row.querySelector(".name").innerText,
  row.querySelector(".share").innerText,
  row.querySelector(".bar").getBoundingClientRect().width
    / row.querySelector(".track").getBoundingClientRect().width,
])"""


@pytest.fixture(scope="module")
def url(exported):
    with serving(Classifier(exported), Limits(max_bytes=30_000)) as url:
        yield url


@pytest.fixture
def page(url):
    with Browser() as browser:
        browser.open(url)
        browser.wait_for("document.getElementById('about').innerText.includes('10 classes')")
        yield browser


def assert_shown(page, expected):
    """Compare the names, numbers and bars on the page with {class: probability}."""
    likeliest = sorted(expected, key=expected.get, reverse=True)[:5]
    page.wait_for(f"document.querySelector('#classes .name')?.innerText == {likeliest[0]!r}")
    rows = page.evaluate(ROWS)
    assert [name for name, _, _ in rows] == likeliest
    for name, share, bar in rows:
        assert float(share.rstrip(" %")) == pytest.approx(100 * expected[name], abs=0.051)
        assert bar == pytest.approx(expected[name], abs=0.01)


def wait_for_sentence(page, words):
    page.wait_for(f"document.querySelector('#status.wrong')?.innerText.includes({words!r})")
    assert page.evaluate(ROWS) == []


def test_pictures_are_dropped_and_chosen(page, url, tmp_path, pictures, right_answer):
    expected = [right_answer(content) for content in pictures[:2]]
    assert max(expected[0], key=expected[0].get) != max(expected[1], key=expected[1].get)
    for i, content in enumerate(pictures[:2]):
        (tmp_path / f"{i}.jpg").write_bytes(content)
    page.drop(tmp_path / "0.jpg", 240, 300)
    assert_shown(page, expected[0])
    page.wait_for("document.getElementById('picture').naturalWidth == 28")
    # Beside the field, too, a picture is taken and does not replace the page.
    page.drop(tmp_path / "1.jpg", 880, 600)
    assert_shown(page, expected[1])
    page.choose(tmp_path / "0.jpg", "#file")
    assert_shown(page, expected[0])

    told = {event["method"]: event["params"] for event in page.events}
    assert "Runtime.exceptionThrown" not in told
    assert "Log.entryAdded" not in told, told["Log.entryAdded"]
    for event in page.events:
        if event["method"] == "Network.requestWillBeSent":
            address = event["params"]["request"]["url"]
            assert address.startswith((url, f"blob:{url}", "data:")), "loaded from elsewhere"


def test_what_is_no_picture_gets_a_sentence(page, tmp_path, pictures, right_answer):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "half.jpg").write_bytes(pictures[0][:400])
    (tmp_path / "large.png").write_bytes(encode(noise(120, 120), "PNG"))
    (tmp_path / "whole.jpg").write_bytes(pictures[0])
    for name, words in [
        ("notes.txt", "No image of the formats"),
        ("half.jpg", "Not a whole image"),
        ("large.png", "more than 30000 bytes"),
    ]:
        page.drop(tmp_path / name, 240, 300)
        wait_for_sentence(page, words)
    page.drop(tmp_path / "whole.jpg", 240, 300)
    assert_shown(page, right_answer(pictures[0]))
    assert page.evaluate("document.getElementById('status').innerText") == ""
