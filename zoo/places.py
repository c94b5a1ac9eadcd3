"""Read and write files of a store in a folder, on a web server, or in an object store by fsspec."""

from __future__ import annotations

import abc
import concurrent.futures
import contextlib
import errno
import io
import os
import re
import stat
import threading
import time
from pathlib import Path
from typing import (
    Any,
    Callable,
    ContextManager,
    Generator,
    Iterable,
    Iterator,
    NamedTuple,
)
from urllib.parse import quote, unquote, urljoin, urlsplit

import requests
import urllib3
from filelock import FileLock, Timeout

from deeprect_gluon.files import write_atomically

DEFAULT = Path(__file__).with_name("store")  # comes with the package
# Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (10, 60)
# Seconds in which a file must come: so many, and one more for so many bytes.
PATIENCE, SLOWEST = 60, 1 << 16
CHUNK = 1 << 16
MOST_BYTES = 4 << 20  # of an index or a signature


class UnavailableError(OSError):
    """A place does not deliver a file.

    Parameters
    ----------
    message : str
    again : bool
        True if another attempt may succeed.
    """

    def __init__(self, message: str, again: bool = False):
        super().__init__(message)
        self.again = again


class MissingError(UnavailableError, FileNotFoundError):
    """A place has no file of that name."""


def patience(size: int) -> float:
    """Return the seconds in which a file of so many bytes must come."""
    return PATIENCE + size / SLOWEST


class Deadline:
    """The time by which a file must have come, from now on.

    Neither requests nor fsspec limit the time of a whole answer, so what may block runs in a
    thread. A late thread is left behind; it does not keep the process from ending.

    Parameters
    ----------
    url : str
        Names the file in the error.
    size : int
        Expected bytes.
    """

    def __init__(self, url: str, size: int):
        self._url, self._seconds = url, patience(size)
        self._end = time.monotonic() + self._seconds
        self._guard, self._late = threading.Lock(), False

    def call(self, work: Callable, *arguments: object) -> Any:
        """Return what `work(*arguments)` returns, or raise UnavailableError when time is over."""
        future: concurrent.futures.Future = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(work(*arguments))
            except BaseException as error:  # for the caller
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            concurrent.futures.wait([future], max(0, self._end - time.monotonic()))
        finally:  # also if the user interrupts
            with self._guard:
                self._late = not future.done()
        if self._late:
            raise UnavailableError(f"{self._url} was not delivered in {self._seconds:.0f} seconds")
        return future.result()

    @contextlib.contextmanager
    def in_time(self) -> Iterator[None]:
        """Keep `call` from returning while files are changed, and a late thread from doing so."""
        with self._guard:
            if self._late:
                raise UnavailableError(f"{self._url} came too late")
            yield


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading, unless it is a link, a pipe or anything else but a regular file.

    A link can lead out of a store, and reading a pipe may never end. Links of the package's own
    store are followed, since some installers make them.

    Raises
    ------
    MissingError, UnavailableError
    """
    links = 0 if DEFAULT in path.parents else os.O_NOFOLLOW
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | links)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(f"there is no file {path}") from error
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise UnavailableError(f"{path} cannot be read ({reason})") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UnavailableError(f"{path} cannot be read (it is no regular file)")
    return open(file, "rb")


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn errors of the system into ones that say what cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # an error of our own
            raise
        in_the_way = error.errno in (errno.EEXIST, errno.ENOTDIR)
        reason = "a file is in its way" if in_the_way else error.strerror
        raise type(error)(
            f"{folder} cannot be written ({reason}); make room, get the right to write "
            "there, or name another folder"
        ) from error


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Keep other processes out by a lock file, in a folder that is made if it does not exist.

    Raises
    ------
    TimeoutError
        If another process holds the lock for so many seconds.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, seconds)
        try:
            lock.acquire()
        except Timeout as error:
            raise TimeoutError(
                f"another process has kept {path} locked for {seconds:.0f} seconds; wait for it, "
                "or end it"
            ) from error
        try:
            yield
        finally:
            lock.release()


def _whole(chunks: Iterable[bytes], where: object) -> bytes:
    """Return the content of a small file."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > MOST_BYTES:
            raise UnavailableError(f"{where} has more than {MOST_BYTES:,} bytes; it is not read")
    return bytes(content)


class Stream(NamedTuple):
    """The bytes of a file from `start` on.

    Attributes
    ----------
    start : int
    size : int or None
        Of the whole file, None if unknown.
    validator : str or None
        A text that changes when the file changes, None if unknown.
    chunks : generator of bytes
    """

    start: int
    size: int | None
    validator: str | None
    chunks: Generator[bytes, None, None]


class Folder:
    """A folder of this machine."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return the content of a small file, or raise UnavailableError."""
        with open_regular(self.path(name)) as file:
            return _whole(iter(lambda: file.read(CHUNK), b""), self.path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all, unless it has this content already."""
        path = self.path(name)
        with contextlib.suppress(UnavailableError):
            if self.read(name) == content:
                return
        with writing(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda temporary: temporary.write_bytes(content))

    def lock(self) -> ContextManager:
        """Return a lock that keeps other writers out."""
        return locked(self.path(".lock"), PATIENCE)


class _Remote(abc.ABC):
    """A place that is not on this machine."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    @abc.abstractmethod
    def open(self, name: str, start: int = 0, validator: str | None = None) -> Stream:
        """Open a file from byte `start` on, or from 0 if its validator is another one now.

        Raises
        ------
        UnavailableError
            Also while the chunks are read.
        """

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        return Deadline(f"{self}/{name}", MOST_BYTES).call(self._read, name)

    def _read(self, name: str) -> bytes:
        stream = self.open(name)
        with contextlib.closing(stream.chunks):
            content = _whole(stream.chunks, f"{self}/{name}")
        if stream.size not in (None, len(content)):
            raise UnavailableError(f"{self}/{name} was cut after {len(content)} bytes", again=True)
        return content


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where an answer redirects to, unless that is less secure."""
        target = super().get_redirect_target(resp)
        if target is not None:
            # requests would read all of it, however long it is.
            resp.close()
            scheme = urlsplit(urljoin(resp.url, target)).scheme
            if resp.url.startswith("https:") and scheme != "https":
                raise UnavailableError(f"{resp.url} redirects from https to {target}")
        return target


class Web(_Remote):
    """A folder on a web server, for reading only."""

    def open(self, name: str, start: int = 0, validator: str | None = None) -> Stream:
        url = f"{self.url}/{quote(name)}"
        # Ranges count bytes of what is sent, so the server must not compress.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers.update({"Range": f"bytes={start}-", "If-Range": validator or ""})
        try:
            with _Session() as session:
                answer = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        # The last two come from addresses that cannot be parsed, as a redirection may have.
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise UnavailableError(
                f"{url} cannot be reached ({_reason(error)})", again=True
            ) from error
        status = answer.status_code
        given, _, total = answer.headers.get("Content-Range", "").partition("/")
        if start and (status == 416 or (status == 206 and not given.startswith(f"bytes {start}-"))):
            answer.close()
            return self.open(name)
        if status == 200:
            start, total = 0, answer.headers.get("Content-Length", "")
        elif status != 206 or not start:
            answer.close()
            message = f"{url} answers HTTP {status} {answer.reason}"
            if status in (404, 410):
                raise MissingError(message)
            raise UnavailableError(message, status in (408, 425, 429) or status >= 500)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            answer.close()
            # Decoding could make gigabytes of a few bytes.
            raise UnavailableError(f"{url} is sent compressed, which was not asked for")
        etag = answer.headers.get("ETag", "")
        # A weak tag (W/…) can stay the same when bytes change.
        validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified")
        size = int(total) if re.fullmatch("[0-9]{1,18}", total) else None
        return Stream(start, size, validator, _web_chunks(answer, url))


def _reason(error: Exception) -> str:
    """Return the reason of a failure without the objects that urllib3 names in it."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner)).split(": ", 1)[-1]


def _web_chunks(answer: requests.Response, url: str) -> Generator[bytes, None, None]:
    # `fetch` checks the length. The check of urllib3 would lose the last bytes of a short answer.
    answer.raw.enforce_content_length = False
    with answer:
        try:
            yield from answer.iter_content(CHUNK)
        except requests.RequestException as error:
            raise UnavailableError(f"{url} was cut off ({_reason(error)})", again=True) from error


class Bucket(_Remote):
    """A folder of any file system that fsspec supports, such as s3:// or gs://.

    These have no locks: only one process may publish at a time.
    """

    def __init__(self, url: str):
        super().__init__(url)
        import fsspec

        try:
            self._system, self._root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{url} cannot be opened as a store: {error}") from error

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def open(self, name: str, start: int = 0, validator: str | None = None) -> Stream:
        path = self._path(name)
        with _translated(f"{self}/{name}"):
            info = self._system.info(path)
            current = str(self._system.ukey(path))
        start = start if current == validator else 0
        return Stream(start, info.get("size"), current, self._chunks(name, start))

    def _chunks(self, name: str, start: int) -> Generator[bytes, None, None]:
        with _translated(f"{self}/{name}"), self._system.open(self._path(name), "rb") as file:
            file.seek(start)
            yield from iter(lambda: file.read(CHUNK), b"")

    def write(self, name: str, content: bytes) -> None:
        path = self._path(name)
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._system.pipe_file(path, content)

    def lock(self) -> ContextManager:
        return contextlib.nullcontext()


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingError(f"{url} cannot be read (FileNotFoundError: {error})") from error
    # The libraries behind fsspec have errors of their own.
    except Exception as error:
        again = isinstance(error, OSError) and not isinstance(error, PermissionError)
        reason = f"{type(error).__name__}: {error}"
        raise UnavailableError(f"{url} cannot be read ({reason})", again) from error


def open_place(where: Path | str) -> Folder | Web | Bucket:
    """Return the place that a path or URL names."""
    scheme = urlsplit(str(where)).scheme
    if scheme == "file":
        return Folder(unquote(urlsplit(str(where)).path))
    if "://" not in str(where):
        return Folder(Path(where).expanduser())
    return Web(str(where)) if scheme in ("http", "https") else Bucket(str(where))
