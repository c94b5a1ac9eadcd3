"""Make one RecordIO shard of images and verify it, or keep the shard that is there.

Its content depends on its sources and the packing only.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Sequence

import mxnet as mx
from PIL import Image

from ..files import write_atomically, write_text_atomically
from ..images import resize_shorter
from ..images.decoding import decode, identify
from .imagenet_sources import Source
from .records import check_file, describe_file, pack, unframe, unpack

_NOT_WHOLE = "{} was not written whole ({}); see whether the disk is full"


@dataclass(frozen=True)
class Packing:
    """Options of packing.

    Parameters
    ----------
    shorter_side : int, optional
        Images with a longer one are resized to it (bicubic). All other JPEGs keep their bytes; by
        default these are all.
    quality : int
        Of new JPEGs: those of resized images, of other formats, and of CMYK images.
    seed : int
        Of the order of the images.
    images_per_shard : int
    """

    shorter_side: int | None = None
    quality: int = 95
    seed: int = 0
    images_per_shard: int = 5000

    def __post_init__(self) -> None:
        for name, least, most in (
            ("shorter_side", 1, None),
            ("quality", 1, 100),
            ("images_per_shard", 1, None),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= (most or value):
                limit = f"at most {most}" if value > least else f"at least {least}"
                raise ValueError(f"{name}={value} must be {limit}")


class Shard(NamedTuple):
    """The images of one shard.

    Attributes
    ----------
    name : str
    identifiers, labels : list of int
        Of the images.
    sources : list of Source
    packing : Packing
    """

    name: str
    identifiers: list[int]
    labels: list[int]
    sources: list[Source]
    packing: Packing

    def plan(self) -> str:
        """Return a digest of all that determines this shard's content."""
        images = [
            [identifier, label, source.name, source.length]
            for identifier, label, source in zip(self.identifiers, self.labels, self.sources)
        ]
        return hashlib.sha256(json.dumps([images, asdict(self.packing)]).encode()).hexdigest()


def recode(content: bytes, packing: Packing) -> bytes:
    """Return the JPEG to be packed for an encoded image.

    A grey or RGB JPEG that is not resized keeps its bytes; any other image becomes an RGB JPEG.
    ImageNet has a PNG and some CMYK images among its files named .JPEG.

    Raises
    ------
    ValueError
        If it is no image, or a damaged one.
    """
    file = identify(content)
    image = decode(file, channels=3)
    if packing.shorter_side is not None and min(image.shape[:2]) > packing.shorter_side:
        image = resize_shorter(image, packing.shorter_side)
    elif file.format == "JPEG" and file.mode in ("L", "RGB"):
        return content
    result = io.BytesIO()
    Image.fromarray(image).save(result, "JPEG", quality=packing.quality)
    return result.getvalue()


def make_shard(output: Path, shard: Shard, known: dict | None) -> dict:
    """Make a shard's files, or keep them.

    Parameters
    ----------
    output : Path
        The folder of records.
    shard : Shard
    known : dict, optional
        What this function returned when it made the shard before.

    Returns
    -------
    dict
        The shard's part of the split's metadata.

    Raises
    ------
    OSError
        If a source cannot be read, or the files cannot be written whole.
    """
    plan = shard.plan()
    if known is not None and known["plan"] == plan and not known["damaged"]:
        try:
            for name, expected in known["files"].items():
                check_file(output / name, expected)
            return known
        except (ValueError, FileNotFoundError):
            pass  # make it again
    records, index, listing = (
        output / f"{shard.name}{suffix}" for suffix in (".rec", ".idx", ".lst")
    )
    packed, damaged = [], []

    def write_records(temporary: Path) -> None:
        file = mx.recordio.MXRecordIO(str(temporary), "w")
        for identifier, label, source in zip(shard.identifiers, shard.labels, shard.sources):
            try:
                content = recode(source.read(), shard.packing)
            except ValueError as error:
                damaged.append({"name": source.name, "reason": str(error)})
                continue
            try:
                file.write(pack(content, label, identifier))
            except mx.MXNetError as error:
                raise OSError(_NOT_WHOLE.format(records, str(error).splitlines()[-1])) from error
            packed.append((identifier, label, source.name))
        file.close()
        starts.extend(_read_back(temporary, [identifier for identifier, *_ in packed]))

    starts: list[int] = []
    write_atomically(records, write_records)
    offsets = "".join(f"{row[0]}\t{start}\n" for row, start in zip(packed, starts))
    names = "".join("{}\t{}\t{}\n".format(*row) for row in packed)
    write_text_atomically(index, offsets)
    write_text_atomically(listing, names)
    return {
        "name": shard.name,
        "plan": plan,
        "images": len(packed),
        "damaged": damaged,
        "files": {path.name: describe_file(path) for path in (records, index, listing)},
    }


def _read_back(path: Path, identifiers: Sequence[int]) -> list[int]:
    """Return the start of each record, after checking that all were written.

    Raises
    ------
    OSError
        If they were not: MXNet's writer raises no error if the disk is full when it closes.
    """
    if not identifiers:
        return []
    starts, position = [], 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as frames:
        try:
            for identifier in identifiers:
                starts.append(position)
                record, position = unframe(frames, position)
                unpack(record, identifier)
        except ValueError as error:
            raise OSError(_NOT_WHOLE.format(path, error)) from error
    return starts
