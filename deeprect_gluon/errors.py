"""Check arguments, suggest the nearest known word, and end a script with one sentence."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any, Callable, Iterable, TypeVar

import numpy as np

Value = TypeVar("Value")


class Stopped(Exception):  # noqa: N818
    """A program was asked to stop, and has saved what it needs to continue."""


def require(name: str, value: Any, *kinds: type) -> None:
    """Raise TypeError unless an argument is of one of the kinds."""
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be a {wanted}, got a {type(value).__name__}")


def whole_numbers(name: str, value: Any, least: int) -> tuple[int, ...]:
    """Return an argument as a tuple of ints; raise an error unless it is a sequence of such."""
    require(name, value, tuple, list)
    return tuple(whole(f"{name}[{i}]", number, least) for i, number in enumerate(value))


def texts(name: str, value: Any) -> list[str]:
    """Return an argument as a list; raise TypeError unless it is a sequence of texts."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{name} must be a list of texts, got {_shown(value)}")
    return list(value)


def whole(name: str, value: Any, least: int, most: int = 2**31 - 1) -> int:
    """Return an argument as a Python int; raise ValueError unless it is one from least to most."""
    integral = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integral or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {_shown(value)}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")
    return int(value)


def one_of(name: str, value: Value, *choices: Value) -> Value:
    """Return an argument; raise ValueError unless it is one of the choices."""
    # The types come first: a comparison with an array is an array.
    if not isinstance(value, tuple(map(type, choices))) or value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {known}, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    simple = isinstance(value, (int, float, str, bytes, type(None)))
    return repr(value) if simple else f"a {type(value).__name__}"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" with the nearest of the known words, or else list all of them."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"known: {', '.join(known)}"


def run_program(main: Callable[[], int | None]) -> None:
    """Run a script's main function, and turn known errors into one line and an exit status.

    Parameters
    ----------
    main : callable
        Returns the exit status, or None for 0. If it raises `Stopped` the exit status is 0.

    Raises
    ------
    SystemExit
        With the exit status; or with one sentence if the input was wrong, a file or another process
        failed, a package is missing, or the loss of a training is not finite.
    """
    name = Path(sys.argv[0]).name
    try:
        status = main()
    except Stopped as stopped:
        print(f"{name}: {stopped}", file=sys.stderr)
    except (ValueError, LookupError, OSError, ImportError, RuntimeError, ArithmeticError) as error:
        sys.exit(f"{name}: {error}")
    else:
        if status:
            sys.exit(status)
