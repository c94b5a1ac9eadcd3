"""A store: a folder with an index and the files that it names, read from disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import index as index_file

DEFAULT = Path(__file__).with_name("store")
INDEX = "index.json"
FILES = "weights"


def check(content: bytes, file: dict, where: Path) -> None:
    """Raise ValueError unless a content is the published one."""
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != file["bytes"] or digest != file["sha256"]:
        raise ValueError(
            f"{where} is not the published file: it has {len(content)} bytes and SHA-256 {digest}, "
            f"not {file['bytes']} bytes and {file['sha256']}"
        )


class Store:
    """Reads published nets.

    Parameters
    ----------
    folder : Path
        Holds `index.json` and the folder `weights`.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def index(self) -> dict:
        """Return the index; FileNotFoundError if the folder has none."""
        path = self.folder / INDEX
        try:
            return index_file.parse(path.read_bytes(), str(path))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"there is no store at {self.folder}: it has no {INDEX}; "
                "'python -m zoo publish' makes one"
            ) from error

    def path(self, file: dict) -> Path:
        """Return where a file that the index names lies."""
        return self.folder / FILES / file["file"]

    def read(self, file: dict) -> bytes:
        """Return the content of a file that the index names, checked against its digest.

        Raises
        ------
        FileNotFoundError, ValueError
            If it is missing, or is not the published one.
        """
        path = self.path(file)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{path}, named in the store's index, is missing") from error
        check(content, file, path)
        return content


def local_folder(place: str | Path) -> Path | None:
    """Return the folder that a path or a file:// URL means, None for any other URL."""
    url = urlsplit(str(place))
    if url.scheme == "file":
        return Path(unquote(url.path))
    return None if "://" in str(place) else Path(place).expanduser()


def open_store(repo: str | Path | None = None) -> Store:
    """Return the store at `repo`, else at `$DEEPRECT_ZOO_REPO`, else the package's own."""
    place = repo or os.environ.get("DEEPRECT_ZOO_REPO") or DEFAULT
    folder = local_folder(place)
    if folder is None:
        raise ValueError(f"repo={str(place)!r}: only folders and file:// URLs can be read")
    return Store(folder)
