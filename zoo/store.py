"""Read a store: an index and the files that it names, in one or more places, through a cache."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, TypeVar, overload

import mxnet as mx
import numpy as np

from deeprect_gluon import models
from deeprect_gluon.errors import require

from . import index as index_file
from .fetch import ELSEWHERE, fetch, read_small
from .places import (
    DEFAULT,
    Bucket,
    Folder,
    MissingError,
    UnavailableError,
    Web,
    locked,
    open_place,
    open_regular,
    patience,
)
from .signatures import PUBLIC_KEY, key_from_environment, signature_name, verify

Parsed = TypeVar("Parsed")

logger = logging.getLogger("zoo")

INDEX = "index.json"
FILES = "weights"
_DIGITS = 32  # of the digest in the name of a cached file
_CHUNK = 1 << 22  # bytes; one chunk is read while the digest of the one before is computed


def offline() -> bool:
    """Return True if `DEEPRECT_ZOO_OFFLINE` forbids the use of the network."""
    return os.environ.get("DEEPRECT_ZOO_OFFLINE", "0") not in ("", "0")


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
        self._index: dict | None = None

    @property
    def index(self) -> dict:
        """The index. Its schema is checked, and its signature if a public key is set.

        A place whose index cannot be used does not keep the next from being asked. If none can be
        used, the index fetched before is.

        Raises
        ------
        FileNotFoundError
            If no place has an index.
        ConnectionError
            If none can be reached.
        ValueError
            If the index is not valid, or not signed with the key.
        """
        # Not a cached property, whose lock all stores share before Python 3.12.
        if self._index is None:
            self._index = self._read_index()
        return self._index

    def _read_index(self) -> dict:
        failures: list[Exception] = []
        for place in self.places:
            try:
                index = self._read_place(place)
            except (UnavailableError, ValueError) as error:
                failures.append(error)
                continue
            if failures:
                logger.warning("%s; using the copy in %s", _listed(failures), place)
            return index
        for kept in self._kept():
            logger.warning("%s; using the index fetched before", _listed(failures))
            return kept
        if any(isinstance(error, ValueError) for error in failures):
            raise ValueError(_listed(failures)) from failures[-1]
        message = f"no store can be read: {_listed(failures)}"
        if offline():
            raise FileNotFoundError(message)
        if all(isinstance(error, MissingError) for error in failures):
            raise FileNotFoundError(f"{message}; 'python -m zoo publish' makes one")
        raise ConnectionError(f"{message}; {ELSEWHERE}") from failures[-1]

    def _read_place(self, place: Folder | Web | Bucket) -> dict:
        if isinstance(place, Folder):
            return _read_signed(place, Folder.read)[2]
        if offline():
            raise UnavailableError(f"{place} is not asked, since DEEPRECT_ZOO_OFFLINE is set")
        return self._refresh(place)

    @property
    def entries(self) -> list[dict]:
        """The entries of the index."""
        return self.index["entries"]

    def path(self, file: dict) -> Path:
        """Return the path of the right copy of a file, which is fetched if it must be."""
        return self._find(file, bytes)[0]

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
        return self._find(file, parse)[1]

    def remove(self, name: str) -> list[Path]:
        """Delete the files of a model from the cache, and return their paths."""
        found = sorted(self.root.glob(f"{'[0-9a-f]' * _DIGITS}-{models.Config(name).name}-*"))
        for path in found:
            path.unlink()
        return found

    def _find(self, file: dict, parse: Callable[[np.ndarray], Any]) -> tuple[Path, Any]:
        """Return the path and the content of the first right copy of a file."""
        failures: list[Exception] = []
        # Named by digest, so that no store reaches files of another, or of the user.
        cached = self.root / f"{file['sha256'][:_DIGITS]}-{file['file']}"
        folders = [place for place in self.places if isinstance(place, Folder)]
        for path in (*(folder.path(_name(file)) for folder in folders), cached):
            try:
                content = _read_checked(path, file, parse)
            except MissingError:
                continue
            except (UnavailableError, ValueError) as error:
                failures.append(error)
                continue
            if failures:
                logger.warning("%s; using %s", _listed(failures), path)
            return path, content
        self._fetch(file, cached, failures)
        return cached, _read_checked(cached, file, parse)

    def _fetch(self, file: dict, path: Path, failures: Sequence[Exception]) -> None:
        """Fetch a file into the cache, unless another process fetches it first."""
        mirrors = [Web(url) for url in self.index.get("mirrors", ()) if re.match("https?://", url)]
        places = [place for place in self.places if not isinstance(place, Folder)] + mirrors
        if not places and failures:
            raise failures[0]
        if not places:
            folders = ", ".join(str(place) for place in self.places)
            raise FileNotFoundError(f"{_name(file)}, named in the index, is missing in {folders}")
        if offline():
            raise FileNotFoundError(
                f"{path} is missing or damaged and DEEPRECT_ZOO_OFFLINE is set; unset it, or fetch "
                "it before with 'python -m zoo fetch'"
            )
        if failures:
            logger.warning("%s; fetching it", _listed(failures))
        with locked(path.with_name(f".{path.name}.lock"), patience(file["bytes"])):
            try:
                _read_checked(path, file)
                return
            except MissingError:
                pass
            except (UnavailableError, ValueError):
                os.replace(path, path.with_name(path.name + ".bad"))
            fetch(file, _name(file), places, path)

    def _copy(self, place: Folder | Web | Bucket) -> Folder:
        """Return the folder in the cache with the copy of a place's index."""
        digest = hashlib.sha256(str(place).encode()).hexdigest()
        return Folder(self.root / f"deeprect-index-{digest[:16]}")

    def _kept(self) -> Iterator[dict]:
        """Yield the good ones of the indices that were fetched before."""
        for place in self.places:
            with contextlib.suppress(UnavailableError, ValueError):
                yield _read_signed(self._copy(place), Folder.read)[2]

    def _refresh(self, place: Web | Bucket) -> dict:
        """Fetch the index of a place, and keep a copy for times without connection."""
        content, signature, index = _read_signed(place, read_small)
        if signature is not None:
            # Nothing published is taken back, so an index that lacks something is an old one.
            known = {key for kept in self._kept() for key in index_file.versions(kept)}
            lost = known.difference(index_file.versions(index))
            if lost:
                title, version = min(lost)
                raise UnavailableError(
                    f"the index of {place} is older than one fetched before, which has version "
                    f"{version} of {title}"
                )
        copy = self._copy(place)
        try:
            if signature is not None:
                copy.write(signature_name(content), signature)
            copy.write(INDEX, content)
        except OSError as error:
            logger.warning("the index is not kept for times without connection: %s", error)
        return index


def open_store(
    repo: str | Path | Sequence[str | Path] | None = None, root: str | Path | None = None
) -> Store:
    """Return the store at `repo`, by default at `$DEEPRECT_ZOO_REPO`, or else the package's own.

    Parameters
    ----------
    repo : path, URL or sequence of these, optional
        Several are copies of one store, which are tried in order. The variable separates them
        by spaces; quote a path that has spaces, as in a shell.
    root : path, optional
        The cache; by default `$MXNET_HOME/models`.
    """
    if repo is None:
        text = os.environ.get("DEEPRECT_ZOO_REPO", "")
        try:
            repo = shlex.split(text) or DEFAULT
        except ValueError as error:
            raise ValueError(f"DEEPRECT_ZOO_REPO={text} cannot be split ({error})") from error
    require("root", root, str, Path, type(None))
    places = [repo] if isinstance(repo, (str, Path)) else repo
    require("repo", places, tuple, list)
    for place in places:
        require("repo", place, str, Path)
    return Store([open_place(place) for place in places], root)


def _listed(failures: Sequence[Exception]) -> str:
    return "; ".join(map(str, failures))


def _name(file: dict) -> str:
    """Return the path of a file in its store."""
    return f"{FILES}/{file['file']}"


def _read_checked(path: Path, file: dict, parse: Callable[[np.ndarray], Any] = bytes) -> Any:
    digest = hashlib.sha256()
    with open_regular(path) as stream, ThreadPoolExecutor(1) as thread:
        size = os.fstat(stream.fileno()).st_size
        if size != file["bytes"]:
            raise ValueError(
                f"{path} is not the published file: it has {size} bytes, not {file['bytes']}"
            )
        # NumPy asks Linux for huge pages, which halves the time that new memory takes.
        content = np.empty(size, np.uint8)
        for start in range(0, size, _CHUNK):
            part = content[start : start + _CHUNK]
            part[stream.readinto(part.data) :] = 0  # if the file was cut off meanwhile
            thread.submit(digest.update, part.data)
        try:
            return parse(content)
        finally:
            thread.shutdown()  # waits for the digest
            if digest.hexdigest() != file["sha256"]:
                raise ValueError(
                    f"{path} is not the published file: it has SHA-256 {digest.hexdigest()}, "
                    f"not {file['sha256']}"
                )


def _read_signed(
    place: Folder | Web | Bucket, read: Callable[..., bytes]
) -> tuple[bytes, bytes | None, dict]:
    """Return the index of a place: content, verified signature if a public key is set, and value.

    The package's own store needs no signature, because it comes with the code.
    """
    content = read(place, INDEX)
    own = isinstance(place, Folder) and place.folder == DEFAULT
    public = None if own else key_from_environment(PUBLIC_KEY)
    signature = None
    if public is not None:
        try:
            signature = read(place, signature_name(content))
        except MissingError as error:
            raise ValueError(
                f"the index of {place} is not signed, but {PUBLIC_KEY} is set"
            ) from error
        verify(content, signature, public, str(place))
    index = index_file.parse(content, f"{place}/{INDEX}")
    if signature is None:
        # A stranger must not choose which addresses are called.
        index.pop("mirrors", None)
    return content, signature, index
