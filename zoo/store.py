"""Read a store: an index and the files that it names, in one or more places, through a cache."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Sequence, TypeVar, overload

import mxnet as mx
import numpy as np
from filelock import FileLock

from deeprect_gluon import models

from . import index as index_file
from .fetch import fetch, read_small
from .places import Bucket, Folder, UnavailableError, Web, open_place
from .signatures import PUBLIC_KEY, key_from_environment, signature_name, verify

Parsed = TypeVar("Parsed")

logger = logging.getLogger("zoo")

DEFAULT = Path(__file__).with_name("store")
INDEX = "index.json"
FILES = "weights"
_CHUNK = 1 << 22  # bytes; one chunk is read while the digest of the one before is computed


def offline() -> bool:
    """Return True if `DEEPRECT_ZOO_OFFLINE` forbids the use of the network."""
    return os.environ.get("DEEPRECT_ZOO_OFFLINE", "0") not in ("", "0")


def check(size: int, digest: str, file: dict, where: Path) -> None:
    """Raise ValueError if a size in bytes or a SHA-256 is not that of the published file."""
    if (size, digest) != (file["bytes"], file["sha256"]):
        raise ValueError(
            f"{where} is not the published file: it has {size} bytes and SHA-256 {digest}, "
            f"not {file['bytes']} bytes and {file['sha256']}"
        )


class Store:
    """An index and the files that it names.

    Files in a folder are read where they are. Files elsewhere are fetched into the cache first. In
    both cases the whole file is checked against the index before anything is returned.

    Parameters
    ----------
    places : sequence of Folder, Web or Bucket
        Copies of one store. The first that answers is used.
    root : Path, optional
        The cache; by default `$MXNET_HOME/models`.
    """

    def __init__(self, places: Sequence[Folder | Web | Bucket], root: Path | str | None = None):
        self.places = list(places)
        self.root = Path(root or Path(mx.base.data_dir()) / "models").expanduser()

    @cached_property
    def index(self) -> dict:
        """The index. Its schema is checked, and its signature if a public key is set.

        Raises
        ------
        FileNotFoundError
            If neither a place nor the cache has an index.
        ValueError
            If the index is not valid, or not signed with the key.
        """
        failures = []
        for place in self.places:
            try:
                if isinstance(place, Folder):
                    return _parse(place, _read_signed(place, Folder.read)[0])
                if not offline():
                    return self._refresh(place)
                failures.append(f"{place} is not asked, since DEEPRECT_ZOO_OFFLINE is set")
            except UnavailableError as error:
                failures.append(str(error))
        for copy in map(self._copy, self.places):
            with contextlib.suppress(UnavailableError):
                index = _parse(copy, _read_signed(copy, Folder.read)[0])
                logger.warning("%s; using the index fetched before", "; ".join(failures))
                return index
        raise FileNotFoundError(
            f"no store can be read: {'; '.join(failures)}; 'python -m zoo publish' makes one"
        )

    @property
    def entries(self) -> list[dict]:
        """The entries of the index."""
        return self.index["entries"]

    def path(self, file: dict) -> Path:
        """Return the path of a file after `read`."""
        for place in self.places:
            if isinstance(place, Folder) and place.path(_name(file)).exists():
                return place.path(_name(file))
        return self.root / file["file"]

    @overload
    def read(self, file: dict) -> bytes: ...

    @overload
    def read(self, file: dict, parse: Callable[[np.ndarray], Parsed]) -> Parsed: ...

    def read(self, file: dict, parse: Callable[[np.ndarray], Any] = bytes) -> Any:
        """Return the checked content of a file that the index names.

        Parameters
        ----------
        file : dict
            file, bytes and sha256, as in the index.
        parse : callable
            Converts the content, an array of uint8, while the digest is computed. Its result or
            error is used only if the content is right.

        Raises
        ------
        ValueError
            If the file in a folder is damaged, or no place has the right one.
        OSError
            If the file cannot be read or fetched.
        """
        path = self.path(file)
        if path.parent != self.root:
            return _read_checked(path, file, parse)
        try:
            return _read_checked(path, file, parse)
        except (FileNotFoundError, ValueError) as error:
            self._fetch(file, path, error)
        return _read_checked(path, file, parse)

    def remove(self, name: str) -> list[Path]:
        """Delete the files of a model from the cache, and return their paths."""
        found = sorted(self.root.glob(f"{models.Config(name).name}-*"))
        for path in found:
            path.unlink()
        return found

    def _fetch(self, file: dict, path: Path, reason: Exception) -> None:
        """Fetch a file into the cache, unless another process fetches it first."""
        mirrors = (open_place(url) for url in self.index.get("mirrors", ()))
        places = [p for p in (*self.places, *mirrors) if not isinstance(p, Folder)]
        if not places:
            folders = ", ".join(str(place) for place in self.places)
            raise FileNotFoundError(
                f"{_name(file)}, named in the index, is missing in {folders}"
            ) from reason
        if offline():
            raise FileNotFoundError(
                f"{path} is missing or damaged and DEEPRECT_ZOO_OFFLINE is set; unset it, or fetch "
                "it before with 'python -m zoo fetch'"
            ) from reason
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            try:
                _read_checked(path, file)
                return
            except FileNotFoundError:
                pass
            except ValueError as error:
                logger.warning("%s; it is set aside and fetched again", error)
                os.replace(path, path.with_name(path.name + ".bad"))
            fetch(file, _name(file), places, path)

    def _copy(self, place: Folder | Web | Bucket) -> Folder:
        """Return the folder in the cache with the copy of a place's index."""
        digest = hashlib.sha256(str(place).encode()).hexdigest()
        return Folder(self.root / f"deeprect-index-{digest[:16]}")

    def _refresh(self, place: Web | Bucket) -> dict:
        """Fetch the index of a place, and keep a copy for times without connection."""
        content, signature = _read_signed(place, read_small)
        index = _parse(place, content)
        copy = self._copy(place)
        if signature is not None:
            copy.write(signature_name(content), signature)
        copy.write(INDEX, content)
        return index


def open_store(
    repo: str | Path | Sequence[str | Path] | None = None, root: str | Path | None = None
) -> Store:
    """Return the store at `repo`, by default at `$DEEPRECT_ZOO_REPO`, or else the package's own.

    Parameters
    ----------
    repo : path, URL or sequence of these, optional
        Several are copies of one store, which are tried in order. Spaces separate them in the
        variable.
    root : path, optional
        The cache; by default `$MXNET_HOME/models`.
    """
    if repo is None:
        repo = os.environ.get("DEEPRECT_ZOO_REPO", "").split() or DEFAULT
    places = [repo] if isinstance(repo, (str, Path)) else repo
    return Store([open_place(place) for place in places], root)


def _name(file: dict) -> str:
    """Return the path of a file in its store."""
    return f"{FILES}/{file['file']}"


def _read_checked(path: Path, file: dict, parse: Callable[[np.ndarray], Any] = bytes) -> Any:
    digest = hashlib.sha256()
    with path.open("rb") as stream, ThreadPoolExecutor(1) as thread:
        # NumPy asks Linux for huge pages, which halves the time that new memory takes.
        content = np.empty(os.fstat(stream.fileno()).st_size, np.uint8)
        for start in range(0, len(content), _CHUNK):
            part = content[start : start + _CHUNK]
            part[stream.readinto(part.data) :] = 0  # if the file was cut off meanwhile
            thread.submit(digest.update, part.data)
        try:
            return parse(content)
        finally:
            thread.shutdown()  # waits for the digest
            check(len(content), digest.hexdigest(), file, path)


def _read_signed(
    place: Folder | Web | Bucket, read: Callable[..., bytes]
) -> tuple[bytes, bytes | None]:
    """Return the index of a place, and its verified signature if a public key is set.

    The package's own store needs no signature, because it comes with the code.
    """
    content = read(place, INDEX)
    own = isinstance(place, Folder) and place.folder == DEFAULT
    public = None if own else key_from_environment(PUBLIC_KEY)
    if public is None:
        return content, None
    try:
        signature = read(place, signature_name(content))
    except UnavailableError as error:
        if error.again:
            raise
        raise ValueError(f"the index of {place} is not signed, but {PUBLIC_KEY} is set") from error
    verify(content, signature, public, str(place))
    return content, signature


def _parse(place: Folder | Web | Bucket, content: bytes) -> dict:
    return index_file.parse(content, f"{place}/{INDEX}")
