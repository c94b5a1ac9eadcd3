"""Where a store's files lie: a folder, a web server, or an object store through fsspec."""

from __future__ import annotations

import abc
import contextlib
from pathlib import Path
from typing import ContextManager, Iterator, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import requests
from filelock import FileLock

from deeprect_gluon.files import write_atomically

# Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (10, 60)
CHUNK = 1 << 16


class UnavailableError(OSError):
    """A file cannot be had from a place.

    Parameters
    ----------
    message : str
    again : bool
        Whether it may succeed when tried again.
    """

    def __init__(self, message: str, again: bool = False):
        super().__init__(message)
        self.again = again


class Stream(NamedTuple):
    """The bytes of a file from `start` on.

    `size` is that of the whole file, and `validator` changes when the file does; either is None if
    the place does not tell.
    """

    start: int
    size: int | None
    validator: str | None
    chunks: Iterator[bytes]


class Folder:
    """A folder of this machine."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return the content of a file; UnavailableError if there is none."""
        try:
            return self.path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnavailableError(f"there is no file {self.path(name)}") from error

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, whole or not at all."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path(name), lambda path: path.write_bytes(content))

    def lock(self) -> ContextManager:
        """Keep other writers out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path(".lock"))


class _Remote(abc.ABC):
    """What web servers and object stores have in common."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    @abc.abstractmethod
    def open(self, name: str, start: int = 0, validator: str | None = None) -> Stream:
        """Open a file from byte `start` on, or from 0 if it no longer has that validator.

        Raises
        ------
        UnavailableError
            Here or from the stream's chunks.
        """

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        stream = self.open(name)
        content = b"".join(stream.chunks)
        if stream.size not in (None, len(content)):
            raise UnavailableError(f"{self}/{name} was cut after {len(content)} bytes", again=True)
        return content


class Web(_Remote):
    """A folder served over HTTP; it can only be read."""

    def open(self, name: str, start: int = 0, validator: str | None = None) -> Stream:
        url = f"{self.url}/{quote(name)}"
        # Compression by the server would make offsets meaningless.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers.update({"Range": f"bytes={start}-", "If-Range": validator or ""})
        try:
            answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        except requests.RequestException as error:
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
            again = status in (408, 425, 429) or status >= 500
            raise UnavailableError(f"{url} answers HTTP {status} {answer.reason}", again)
        etag = answer.headers.get("ETag", "")
        # A weak tag (W/…) may stay the same when bytes change.
        validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified")
        size = int(total) if total.isdigit() else None
        return Stream(start, size, validator, _web_chunks(answer, url))


def _reason(error: requests.RequestException) -> str:
    """Return why a request failed, without urllib3's description of its own objects."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner)).split(": ", 1)[-1]


def _web_chunks(answer: requests.Response, url: str) -> Iterator[bytes]:
    # A short answer is noticed by its length; urllib3's own check would lose its last bytes.
    answer.raw.enforce_content_length = False
    with answer:
        try:
            yield from answer.iter_content(CHUNK)
        except requests.RequestException as error:
            raise UnavailableError(f"{url} was cut off ({_reason(error)})", again=True) from error


class Bucket(_Remote):
    """A folder of any file system that fsspec knows, such as s3:// or gs://.

    One publisher at a time: these have no locks.
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

    def _chunks(self, name: str, start: int) -> Iterator[bytes]:
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
    except (FileNotFoundError, PermissionError) as error:
        raise UnavailableError(f"{url} cannot be read ({type(error).__name__}: {error})") from error
    except OSError as error:
        raise UnavailableError(f"{url} cannot be read ({error})", again=True) from error


def open_place(where: Path | str) -> Folder | Web | Bucket:
    """Return the place that a path or URL names."""
    scheme = urlsplit(str(where)).scheme
    if scheme == "file":
        return Folder(unquote(urlsplit(str(where)).path))
    if "://" not in str(where):
        return Folder(Path(where).expanduser())
    return Web(str(where)) if scheme in ("http", "https") else Bucket(str(where))
