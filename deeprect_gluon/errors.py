"""Help users with errors: suggest the nearest known word, and end a script with one sentence."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Callable, Iterable


class Stopped(Exception):  # noqa: N818
    """A program was asked to stop, and has saved what it needs to continue."""


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
