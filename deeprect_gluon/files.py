"""Write files whole or not at all, lock folders, compute digests, and show names."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
from pathlib import Path
from typing import Callable, Iterator


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


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
    """Write a file beside `path`, and rename it to `path` when it is safely on disk.

    Parameters
    ----------
    path : Path
    write : callable
        `write(temporary)` makes the file.

    Raises
    ------
    OSError
        If the disk is full or not writable; an older file at `path` is unchanged then.
    """
    # The suffix stays last: MXNet and matplotlib choose the format by it.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        replace_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, as `write_atomically` does."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others who ask for the same lock out of a folder, which is made if it does not exist.

    The lock is on the folder's file `.lock`, and ends with this process, however that ends.

    Raises
    ------
    BlockingIOError
        If another process holds the lock; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read() or "another process"
            raise BlockingIOError(
                f"{holder} works in {folder}; wait until it ends, or give another folder"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def readable(name: str) -> str:
    """Return a file's name for people: one line of UTF-8, with escapes for all that is not."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
