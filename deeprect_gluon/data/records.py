"""Read and check RecordIO shards of images.

`train.json` describes the split "train": the classes in the order of their labels, and the shards.
A shard is three files of one name. `.rec` holds the records (MXNet's RecordIO, an encoded image
each), `.idx` the offset of each, `.lst` the label and the name of the source image. MXNet's own
tools read them too. They do not use the header's second identifier; here it is the CRC-32 of
everything else in the record.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from pathlib import Path

import mxnet as mx
import numpy as np

from ..files import sha256

FORMAT = 1

_MAGIC = struct.pack("<I", 0xCED7230A)
_HEADER = struct.Struct("<IfQQ")  # flag, label, identifier, second identifier


def pack(content: bytes, label: int, identifier: int) -> bytes:
    """Return the record of an encoded image."""
    record = mx.recordio.pack(mx.recordio.IRHeader(0, float(label), identifier, 0), content)
    return record[:16] + struct.pack("<Q", _checksum(record)) + record[_HEADER.size :]


def unpack(record: bytes, identifier: int) -> tuple[bytes, int]:
    """Return the encoded image and the label of a record.

    Raises
    ------
    ValueError
        If it has another identifier, or is damaged.
    """
    if len(record) < _HEADER.size:
        raise ValueError(f"its {len(record)} bytes are too few for a record")
    _, label, found, checksum = _HEADER.unpack_from(record)
    if _checksum(record) != checksum:
        raise ValueError("its checksum is wrong")
    if found != identifier:
        raise ValueError(f"it is record {found}")
    return record[_HEADER.size :], int(label)


def _checksum(record: bytes) -> int:
    return zlib.crc32(memoryview(record)[_HEADER.size :], zlib.crc32(record[:16]))


def unframe(frames: bytes | mmap.mmap, position: int = 0) -> tuple[bytes, int]:
    """Return the record at a position of a RecordIO file, and the position of the next one.

    A record that contains the format's magic number is split there into several frames.

    Raises
    ------
    ValueError
        If no whole record is there.
    """
    parts = []
    while True:
        head = frames[position : position + 8]
        if len(head) < 8 or head[:4] != _MAGIC:
            raise ValueError("no RecordIO frame is there")
        (word,) = struct.unpack_from("<I", head, 4)
        length, place = word & (1 << 29) - 1, word >> 29
        position += 8
        parts.append(frames[position : position + length])
        position += (length + 3) // 4 * 4
        if position > len(frames):
            raise ValueError("its end is missing")
        if place in (0, 3):  # the only frame, or the last
            return _MAGIC.join(parts), position


def describe_file(path: Path) -> dict:
    """Return the metadata of one of a split's files."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def check_file(path: Path, expected: dict) -> None:
    """Compare every byte of a file with its metadata.

    Raises
    ------
    FileNotFoundError
        If it is missing.
    ValueError
        If it is truncated or changed.
    """
    _check_size(path, expected["bytes"])
    found = sha256(path)
    if found != expected["sha256"]:
        raise ValueError(
            f"{path} was changed: its SHA-256 is {found}, not {expected['sha256']}; "
            "prepare the records again"
        )


def _check_size(path: Path, expected: int) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; prepare the records again")
    size = path.stat().st_size
    if size != expected:
        raise ValueError(
            f"{path} has {size} bytes instead of {expected}; prepare the records again"
        )


def read_metadata(folder: Path, split: str) -> dict:
    """Return the metadata of a split whose preparation is complete.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it has another format, or the preparation is not complete.
    """
    path = folder / f"{split}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: {folder} holds no records of the split {split!r}; "
            "make them with scripts/prepare_imagenet.py"
        )
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        found, complete = metadata["format"], metadata["complete"]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} does not describe records ({error!r})") from error
    if found != FORMAT:
        raise ValueError(f"{path} is of format {found}, not {FORMAT}; prepare the records again")
    if not complete:
        raise ValueError(f"{path}: the preparation was not finished; run it again to go on")
    return metadata


def verify(folder: Path, split: str) -> int:
    """Compare every byte of a split with its metadata, and return the number of images.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_metadata` and `check_file`.
    """
    metadata = read_metadata(folder, split)
    for shard in metadata["shards"]:
        for name, expected in shard["files"].items():
            check_file(folder / name, expected)
    return metadata["images"]


class Shards:
    """The encoded images of a split; any thread may read any of them at any time.

    Opening checks the sizes of the shards and every byte of their indices; each read checks its
    record. `verify` checks every byte of all.

    Parameters
    ----------
    folder : Path
    split : str

    Attributes
    ----------
    classes : tuple of str
        Names, in the order of the labels.

    Raises
    ------
    FileNotFoundError
        If the metadata, a shard or its index is missing.
    ValueError
        If one of them is truncated or changed, or the preparation was not finished.
    """

    def __init__(self, folder: Path | str, split: str):
        self.folder = Path(folder)
        metadata = read_metadata(self.folder, split)
        self.classes = tuple(entry["name"] for entry in metadata["classes"])
        self._files, self._names, positions = [], [], []
        for number, shard in enumerate(metadata["shards"]):
            name, files = shard["name"], shard["files"]
            path, index = self.folder / f"{name}.rec", self.folder / f"{name}.idx"
            size = files[path.name]["bytes"]
            _check_size(path, size)
            check_file(index, files[index.name])
            self._files.append(path.open("rb", buffering=0))
            self._names.append(name)
            identifiers, starts = np.array(index.read_bytes().split(), np.int64).reshape(-1, 2).T
            lengths = np.diff(starts, append=size)
            shards = np.full(len(starts), number)
            positions.append(np.stack([shards, identifiers, starts, lengths], axis=1))
        self._positions = np.concatenate(positions)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._positions)

    def read(self, i: int) -> tuple[bytes, int]:
        """Return the encoded image number `i` and its label.

        Raises
        ------
        ValueError
            If its record is damaged; the message has the shard, the record and the image's name.
        """
        shard, identifier, start, length = self._positions[i].tolist()
        frames = os.pread(self._files[shard].fileno(), length, start)
        try:
            return unpack(unframe(frames)[0], identifier)
        except ValueError as error:
            raise ValueError(
                f"{self.describe(i)} is damaged ({error}); prepare the records again"
            ) from error

    def describe(self, i: int) -> str:
        """Return the place of image number `i`, and the name of its source file."""
        shard, identifier, *_ = self._positions[i].tolist()
        place = f"record {identifier} of {self.folder / self._names[shard]}.rec"
        listing = self.folder / f"{self._names[shard]}.lst"
        if listing.exists():
            for line in listing.read_text(encoding="utf-8").splitlines():
                key, _, name = line.split("\t", 2)
                if key == str(identifier):
                    return f"{place} ({name})"
        return place
