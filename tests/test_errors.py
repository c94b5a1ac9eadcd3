"""Suggestions, and how scripts end."""

import sys

import pytest

from deeprect_gluon.errors import Stopped, run_program, suggest


def test_the_nearest_known_words_are_suggested_or_all_are_listed():
    assert suggest("epoch", ["epochs", "lr"]) == "did you mean 'epochs'?"
    assert suggest("ab", ["abc", "abd"]) == "did you mean 'abd' or 'abc'?"
    assert suggest("zzz", iter(["epochs", "lr"])) == "known: epochs, lr"


def run(monkeypatch, result):
    def main():
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(sys, "argv", ["/somewhere/script.py"])
    run_program(main)


@pytest.mark.parametrize(
    "error", [ValueError, FileNotFoundError, ImportError, LookupError, FloatingPointError]
)
def test_a_known_error_is_one_sentence(monkeypatch, error):
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, error("it is wrong"))
    assert caught.value.code == "script.py: it is wrong"


def test_an_unknown_error_stays_what_it_is(monkeypatch):
    with pytest.raises(TypeError, match="a mistake in the code"):
        run(monkeypatch, TypeError("a mistake in the code"))


def test_statuses(monkeypatch, capsys):
    assert run(monkeypatch, None) is None
    assert run(monkeypatch, 0) is None
    with pytest.raises(SystemExit, match="1"):
        run(monkeypatch, 1)
    assert run(monkeypatch, Stopped("stopped after step 3")) is None
    assert capsys.readouterr().err == "script.py: stopped after step 3\n"
