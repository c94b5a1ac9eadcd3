"""Mutated archives and lists of labels: refused, or every image is one that was put in."""

import contextlib
import io
import logging
import tarfile

import numpy as np

from deeprect_gluon.data.imagenet_sources import scan_classes, scan_flat
from tests.serve.serving import encode, noise

IMAGES = [encode(noise(9, 8, seed)) for seed in range(4)]
TYPES = (b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"L", b"K", b"x", b"g", b"Z")
LONG = "y" * 60 + "/" + "c" * 60  # longer than a header's field
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def _pack(members: list, kind: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _mutate(random: np.random.Generator, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(random.integers(4)):
        if len(data) < 1024:
            break
        block = int(random.integers(len(data) // 512)) * 512
        kind = random.integers(6)
        if kind == 0:
            data[random.integers(len(data))] = random.integers(256)
        elif kind == 1:  # another size, of 12 octal digits
            data[block + 124 : block + 136] = b"%011o\0" % random.integers(1 << 33)
        elif kind == 2:
            data[block + 156 : block + 157] = TYPES[random.integers(len(TYPES))]
        elif kind == 3:
            del data[block : block + 512]
        elif kind == 4:
            data[block:block] = data[: int(random.integers(8)) * 512]
        else:
            data = data[: int(random.integers(1, len(data) + 1))]
        _sign(data, block)
    return bytes(data)


def _sign(data: bytearray, block: int) -> None:
    """Make the checksum of a header right again."""
    header = data[block : block + 512]
    if len(header) == 512 and header[257:262] == b"ustar":
        header[148:156] = b" " * 8
        data[block + 148 : block + 156] = b"%06o\0 " % sum(header)


@contextlib.contextmanager
def attack(folder):
    logging.getLogger("deeprect_gluon").setLevel(logging.ERROR)
    place, labels = folder / "set.tar", folder / "labels"

    def trial(random):
        kind = FORMATS[random.integers(3)]
        names = ["a.jpg", "x/b.jpg", LONG + ".png", "\udcff\n.gif"]
        members = [*zip(names, IMAGES), ("link.jpg", "x/b.jpg"), ("notes.txt", b"text")]
        inner = _pack([members[i] for i in random.permutation(len(members))], kind)
        flat = random.random() < 0.5
        outer = inner if flat else _pack([("cat.tar", inner), ("dog.tar", inner)], kind)
        place.write_bytes(_mutate(random, outer))
        lines = b"a.jpg,cat\nx/b,dog\nccc.png,cow\nlink.jpg,dog\n\xff\\n.gif,hen\n"
        lines = lines.replace(b"ccc", LONG.encode())
        if random.random() < 0.3:
            at = int(random.integers(len(lines)))
            lines = lines[:at] + random.bytes(2) + lines[at + int(random.integers(3)) :]
        labels.write_bytes(lines)
        try:
            sources = scan_flat(place, labels) if flat else scan_classes(place)
        except (ValueError, FileNotFoundError) as error:
            str(error).encode()
            return "refused"
        size = place.stat().st_size
        for source in sources:
            source.name.encode()
            source.wordnet_id.encode()
            assert source.start + source.length <= size
            assert len(source.read()) == source.length
        return "accepted"

    yield trial
