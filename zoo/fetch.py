"""Download published files, with resumption and retries, and move them in place once checked."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path
from typing import Sequence

from tqdm import tqdm

from deeprect_gluon.files import sha256, write_text_atomically

from .places import Bucket, Deadline, UnavailableError, Web

# A place is given up after so many attempts in a row without a single new byte.
ATTEMPTS = 4
# Seconds of waiting before the second attempt. Each further wait is twice as long.
BACKOFF = 0.5
ELSEWHERE = "check the connection, or name another store with repo= or DEEPRECT_ZOO_REPO"


def fetch(file: dict, name: str, places: Sequence[Web | Bucket], target: Path) -> None:
    """Fetch a published file to `target`, which the caller has locked.

    The places are tried in order, each for at most `places.patience` seconds. A complete file that
    is not the published one is kept as `TARGET.bad`, and then every place is tried once more.

    Parameters
    ----------
    file : dict
        bytes and sha256, as in the index.
    name : str
        The file's path in each place.
    places : sequence of places
    target : Path
        In an existing folder. An unfinished download stays beside it as `TARGET.part`. The next
        call continues it if the place still has the same file.

    Raises
    ------
    ValueError
        If some places have a file of that name, but none has the published one.
    ConnectionError
        If no place delivers a file.
    """
    part, bad = (target.with_name(target.name + suffix) for suffix in (".part", ".bad"))
    failures: list[str] = []
    for _ in range(2):
        wrong = False
        for place in places:
            try:
                _download(place, name, file["bytes"], part)
            except UnavailableError as error:
                failures.append(str(error))
                continue
            digest = sha256(part)
            _origin(part).unlink(missing_ok=True)
            if digest == file["sha256"]:
                os.replace(part, target)
                return
            wrong = True
            failures.append(f"{place}/{name} has {part.stat().st_size} bytes and SHA-256 {digest}")
            os.replace(part, bad)
        if not wrong:
            raise ConnectionError(
                f"{target.name} cannot be fetched: {'; '.join(failures)}; {ELSEWHERE}"
            )
    raise ValueError(
        f"{target.name} was published with {file['bytes']} bytes and SHA-256 {file['sha256']}, but "
        + "; ".join(dict.fromkeys(failures))
    )


def read_small(place: Web | Bucket, name: str) -> bytes:
    """Return the content of a small file; try again after failures that may pass."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return place.read(name)
        except UnavailableError as error:
            if not error.again:
                raise
            _wait(attempt)
    return place.read(name)


def _wait(attempt: int) -> None:
    # Random, so that many clients do not come back at the same moment.
    time.sleep(BACKOFF * 2**attempt * random.uniform(0.5, 1))


def _download(place: Web | Bucket, name: str, size: int, part: Path) -> None:
    """Download a file to `part`: `size` bytes, or fewer or more if the place has another file."""
    deadline = Deadline(f"{place}/{name}", size)
    attempt, most = 0, _length(part)
    while True:
        try:
            deadline.call(_transfer, place, name, size, part, deadline)
            return
        except UnavailableError as error:
            if not error.again:
                raise
            # A server that changes its file again and again makes no progress.
            attempt = 1 if _length(part) > most else attempt + 1
            most = max(most, _length(part))
            if attempt == ATTEMPTS:
                raise
        _wait(attempt - 1)


def _transfer(place: Web | Bucket, name: str, size: int, part: Path, deadline: Deadline) -> None:
    """Make one request, and append what it delivers to `part`."""
    validator = _resumable(part, f"{place}/{name}", size)
    start = _length(part) if validator else 0
    stream = place.open(name, start, validator)
    with contextlib.closing(stream.chunks):
        with deadline.in_time():
            if stream.start == 0:
                part.unlink(missing_ok=True)
                write_text_atomically(_origin(part), f"{place}/{name}\n{stream.validator or ''}")
            out = part.open("ab")
        with out, _progress(part, size) as bar:
            bar.update(stream.start)
            for chunk in stream.chunks:
                with deadline.in_time():
                    out.write(chunk)
                    out.flush()
                bar.update(len(chunk))
                if out.tell() > size:
                    break  # this is another file, which must not fill the disk
            os.fsync(out.fileno())
            if out.tell() < (size if stream.size is None else min(size, stream.size)):
                raise UnavailableError(
                    f"{place}/{name} was cut after {out.tell()} of {size} bytes", again=True
                )


def _progress(part: Path, size: int) -> tqdm:
    return tqdm(total=size, unit="B", unit_scale=True, desc=part.stem, disable=None)


def _origin(part: Path) -> Path:
    """Return the path of the file with the URL and validator of a part."""
    return part.with_name(part.name + ".origin")


def _resumable(part: Path, url: str, size: int) -> str | None:
    """Return the validator for continuing a download, or None to start from the beginning."""
    try:
        origin, _, validator = _origin(part).read_text().partition("\n")
    except (OSError, ValueError):
        return None
    return validator or None if origin == url and 0 < _length(part) < size else None


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
