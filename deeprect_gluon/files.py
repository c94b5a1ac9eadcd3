"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable


def replace_durably(temporary: Path, path: Path) -> None:
    """Rename a file to `path`, in the same folder, such that both survive a loss of power."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write(temporary)` make a file beside `path`, and rename it when it is safely on disk.

    Raises
    ------
    OSError
        If the disk is full or not writable; what was at `path` is still there.
    """
    # The suffix stays last: MXNet and matplotlib choose formats by it.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        replace_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, as `write_atomically` does."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
