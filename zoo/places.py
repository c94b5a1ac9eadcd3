"""Read and write files of a store in a folder, on a web server, or in an object store by fsspec."""

from __future__ import annotations

import abc
import contextlib
from pathlib import Path
from typing import ContextManager, Generator, Iterator, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import requests
from filelock import FileLock

from deeprect_gluon.files import write_atomically

# Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (10, 60)
CHUNK = 1 << 16


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
        """Return the content of a file, or raise UnavailableError if there is none."""
        try:
            return self.path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnavailableError(f"there is no file {self.path(name)}") from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path(name), lambda path: path.write_bytes(content))

    def lock(self) -> ContextManager:
        """Return a lock that keeps other writers out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path(".lock"))


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
        stream = self.open(name)
        content = b"".join(stream.chunks)
        if stream.size not in (None, len(content)):
            raise UnavailableError(f"{self}/{name} was cut after {len(content)} bytes", again=True)
        return content


class Web(_Remote):
    """A folder on a web server, for reading only."""

    def open(self, name: str, start: int = 0, validator: str | None = None) -> Stream:
        url = f"{self.url}/{quote(name)}"
        # Ranges count bytes of what is sent, so the server must not compress.
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
        # A weak tag (W/…) can stay the same when bytes change.
        validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified")
        size = int(total) if total.isdigit() else None
        return Stream(start, size, validator, _web_chunks(answer, url))


def _reason(error: requests.RequestException) -> str:
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
