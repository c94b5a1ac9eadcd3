"""Find ImageNet's images and labels: in archives as they are distributed, or in folders.

Scanning reads names, places and sizes only. An image in an archive, even in an archive within an
archive, is a range of bytes of one file. So any process can read it alone, and nothing needs to be
unpacked.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import posixpath
import stat
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import IO, Iterator, NamedTuple, NoReturn

from ..files import readable
from ..images.decoding import SUFFIXES, check_bytes

logger = logging.getLogger(__name__)

_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"
# tarfile allocates what a header says that a name has; the last two are of damaged pax headers.
_UNREADABLE = (tarfile.TarError, MemoryError, UnicodeError, OverflowError)


class Source(NamedTuple):
    """An encoded image and its class.

    Attributes
    ----------
    path : Path
        File that holds it.
    start, length : int
        Its bytes in that file.
    name : str
        As errors and listings give it, e.g. n01440764/n01440764_18.JPEG.
    wordnet_id : str
        Its class: a number of WordNet, or the name of the folder it lies in.
    """

    path: Path
    start: int
    length: int
    name: str
    wordnet_id: str

    def read(self) -> bytes:
        """Return its bytes.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If these are more bytes than an image has.
        """
        check_bytes(self.length)
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), self.length, self.start)


def scan_classes(place: Path) -> list[Source]:
    """Find the images of a split that is sorted by class.

    A warning counts and names the files that are left out: those not named as images.

    Parameters
    ----------
    place : Path
        A folder with, for each class, a folder of images (and folders of them) or an archive; or an
        archive of such archives, as ILSVRC2012_img_train.tar is.

    Returns
    -------
    list of Source
        By class and name.

    Raises
    ------
    FileNotFoundError
        If there is no such place.
    ValueError
        If it holds no images in this form, or what is named as an image cannot be one, or an
        archive is truncated.
    """
    _must_exist(place)
    found: list[Source] = []
    others: list[str] = []
    if place.is_dir():
        for child in sorted(place.iterdir()):
            if child.is_dir():
                found += _of_class(child.name, _in_folder(child, others))
            elif child.suffix.lower() == ".tar":
                found += _of_class(child.stem, _in_archive(child, others))
            else:
                others.append(child.name)
    else:
        with _open_archive(place) as outer:
            for name, member in _members(place, outer, (".tar",), others):
                inner = _in_archive(place, others, outer.extractfile(member), member.offset_data)
                found += _of_class(Path(name).stem, inner)
    found = _checked(place, found, others)
    if not found:
        raise ValueError(
            f"{place} holds no images ({', '.join(SUFFIXES)}) in a folder or archive for "
            "each class; a split in one piece, as ILSVRC's validation images are, needs its labels"
        )
    return found


def scan_flat(place: Path, labels: Path) -> list[Source]:
    """Find the images of a split that is in one piece, and their classes in a list.

    A warning counts and names the files that are left out: those not named as images.

    Parameters
    ----------
    place : Path
        An archive or a folder of images, as ILSVRC2012_img_val.tar is.
    labels : Path
        See `read_labels`.

    Returns
    -------
    list of Source
        By name.

    Raises
    ------
    FileNotFoundError
        If one of them is missing.
    ValueError
        If images and labels do not belong together, or what is named as an image cannot be one, or
        an archive is truncated.
    """
    _must_exist(place)
    others: list[str] = []
    inside = _in_folder(place, others) if place.is_dir() else _in_archive(place, others)
    found = _checked(place, inside, others)
    if not found:
        raise ValueError(f"{place} holds no images ({', '.join(SUFFIXES)})")
    classes = read_labels(labels, [source.name for source in found])
    return [source._replace(wordnet_id=name) for source, name in zip(found, classes)]


def read_labels(labels: Path, names: list[str]) -> list[str]:
    """Return the class of each image of a split.

    Parameters
    ----------
    labels : Path
        ILSVRC's development kit (ILSVRC2012_devkit_t12.tar.gz, or the folder it unpacks to), which
        has its own numbers for images and classes. Or a text file with a line for each image: its
        name, a comma, tab or space, and its class. Kaggle's LOC_val_solution.csv is such a list.
    names : list of str
        Of the images. A list may leave out their suffix and folders if only one image is meant.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If an image has no label or two, a label no image or several, or the file is of another
        form.
    ImportError
        If the development kit is to be read and SciPy is not installed.
    """
    _must_exist(labels)
    if labels.is_dir():
        paths = (path for name in (_GROUND_TRUTH, _META) for path in labels.rglob(name))
        files = {path.name: path.read_bytes() for path in paths if path.is_file()}
        return _match(labels, _of_development_kit(labels, files, len(names)), names)
    if tarfile.is_tarfile(labels):
        with tarfile.open(labels) as archive:
            files = {
                Path(member.name).name: file.read()
                for member in archive
                if Path(member.name).name in (_GROUND_TRUTH, _META)
                and (file := archive.extractfile(member)) is not None
            }
        return _match(labels, _of_development_kit(labels, files, len(names)), names)
    return _match(labels, list(_of_list(labels)), names)


def _of_development_kit(
    labels: Path, files: dict[str, bytes], images: int
) -> list[tuple[str, str]]:
    """Return name and class of each image."""
    for name in (_GROUND_TRUTH, _META):
        if name not in files:
            raise ValueError(f"{labels} holds no {name}, so it is not ILSVRC's development kit")
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            f"{_META} of the development kit is read with SciPy: pip install scipy, or give the "
            "labels as a text file of image names and classes"
        ) from error
    synsets = loadmat(io.BytesIO(files[_META]), squeeze_me=True)["synsets"]
    ids = {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets}
    numbers = [int(number) for number in files[_GROUND_TRUTH].split()]
    if len(numbers) != images:
        raise ValueError(f"{labels} has labels of {len(numbers)} images; there are {images}")
    unknown = sorted(set(numbers) - set(ids))
    if unknown:
        raise ValueError(f"{labels}: {_META} has no class {unknown[0]}")
    return [(f"ILSVRC2012_val_{place:08d}", ids[number]) for place, number in enumerate(numbers, 1)]


def _of_list(labels: Path) -> Iterator[tuple[str, str]]:
    """Yield name and class of each line."""
    text = labels.read_text(encoding="utf-8-sig", errors="surrogateescape")
    kaggle = False
    for line in filter(str.strip, text.split("\n")):
        if "," in line:
            try:
                (fields,) = csv.reader([line], skipinitialspace=True)
            except csv.Error as error:
                raise ValueError(f"{labels}: the line {line!r} cannot be read: {error}") from error
        else:
            fields = line.split("\t" if "\t" in line else None, 1)
        name, *rest = (field.strip() for field in fields)
        if name == "ImageId":  # the heading of Kaggle's list; places follow its classes
            kaggle = True
            continue
        if not any(rest):
            raise ValueError(f"{labels}: the line {line!r} has no class")
        if len(rest) > 1:
            raise ValueError(
                f"{labels}: the line {line!r} has {len(fields)} fields; give a name and a class, "
                "in quotes if it has a comma"
            )
        yield (
            readable(posixpath.normpath(name)),
            readable(rest[0].split()[0] if kaggle else rest[0]),
        )


def _match(labels: Path, listed: list[tuple[str, str]], names: list[str]) -> list[str]:
    """Return the class of each name."""
    exact = {name: i for i, name in enumerate(names)}
    short = defaultdict(set)  # by a name without its folders, or some, or its suffix
    for i, name in enumerate(names):
        parts = name.split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            short[end].add(i)
            short[posixpath.splitext(end)[0]].add(i)
    classes: dict[int, str] = {}
    extra = []
    for name, class_ in listed:
        meant = {exact[name]} if name in exact else short.get(name, set())
        if len(meant) > 1:
            which = " or ".join(sorted(names[i] for i in meant)[:2])
            raise ValueError(f"{labels}: {name} may be {which}; give the whole name")
        if not meant:
            extra.append(name)
            continue
        (i,) = meant
        if i in classes:
            raise ValueError(f"{labels} lists {names[i]} twice; leave one line")
        classes[i] = class_
    without = [name for i, name in enumerate(names) if i not in classes]
    if without:
        raise ValueError(
            f"{labels} has no label for {len(without)} of {len(names)} images, {without[0]} first"
        )
    if extra:
        raise ValueError(
            f"{labels} has labels of {len(listed)} images, but there are {len(names)}: "
            f"{min(extra)} is missing"
        )
    return [classes[i] for i in range(len(names))]


def _must_exist(place: Path) -> None:
    if not place.exists():
        raise FileNotFoundError(f"{place} is missing; give the place of ImageNet's files")
    if not (place.is_dir() or place.is_file()):
        raise ValueError(f"{place} is neither a file nor a folder; give the place of the files")


def _in_folder(folder: Path, others: list[str]) -> list[Source]:
    """Find the images in a folder and below it; add to `others` the names of other files."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        folders.sort()
        real = os.path.realpath(place)
        if real in seen:
            raise ValueError(f"{place} is a link to {real}, which is read already; remove it")
        seen.add(real)
        for path in (Path(place, file) for file in sorted(files)):
            name = path.relative_to(folder).as_posix()
            if path.suffix.lower() not in SUFFIXES:
                others.append(f"{folder.name}/{name}")
            elif path.exists() and stat.S_ISREG((status := path.stat()).st_mode):
                found.append(Source(path, 0, status.st_size, readable(name), ""))
            else:
                raise ValueError(f"{path} is no file, or a link to none; remove it")
    return found


def _raise(error: OSError) -> NoReturn:
    raise error


def _of_class(wordnet_id: str, found: list[Source]) -> list[Source]:
    wordnet_id = readable(wordnet_id)
    return [
        source._replace(name=f"{wordnet_id}/{source.name}", wordnet_id=wordnet_id)
        for source in found
    ]


def _checked(place: Path, found: list[Source], others: list[str]) -> list[Source]:
    """Return the images by class and name; name what is left out, and refuse two of one name."""
    if others:
        named = ", ".join(map(readable, others[:20])) + (", …" if len(others) > 20 else "")
        logger.warning("%s: left out %d files not named as images: %s", place, len(others), named)
    found = sorted(found, key=lambda source: (source.wordnet_id, source.name))
    for one, other in zip(found, found[1:]):
        if one.name == other.name:
            raise ValueError(f"{place} holds two images of the name {one.name}; rename one")
    return found


def _in_archive(
    path: Path, others: list[str], file: IO[bytes] | None = None, offset: int = 0
) -> list[Source]:
    """Find the images in an archive that is a file, or lies at an offset of one."""
    with _open_archive(path, file) as archive:
        return [
            Source(path, offset + member.offset_data, member.size, readable(name), "")
            for name, member in _members(path, archive, SUFFIXES, others)
        ]


def _open_archive(path: Path, file: IO[bytes] | None = None) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:", file)  # uncompressed: its files are ranges of its bytes
    except _UNREADABLE as error:
        raise _broken(path, error) from error


def _members(
    path: Path, archive: tarfile.TarFile, suffixes: tuple[str, ...], others: list[str]
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield the names with these suffixes, and the files; add the other names to `others`."""
    members: dict[str, tarfile.TarInfo] = {}
    try:
        for member in archive:
            name = posixpath.normpath(member.name)
            if name in members and not member.isdir():
                raise ValueError(f"{path} holds {readable(name)} twice; make it anew")
            members[name] = member
    except _UNREADABLE as error:
        raise _broken(path, error) from error
    _check_end(path, archive)
    for name, member in members.items():
        if name.lower().endswith(suffixes):
            target = _target(members, member)
            if target is None or not target.isfile() or target.issparse():
                raise ValueError(
                    f"{path}: {readable(name)} is no plain file (a sparse one, or a link to what "
                    "the archive does not hold); unpack the archive and give the folder"
                )
            yield name, target
        elif not member.isdir():
            others.append(name)


def _target(members: dict[str, tarfile.TarInfo], member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return the member that a link leads to, or the member itself."""
    for _ in range(40):  # as many as Linux follows
        if not (member.islnk() or member.issym()):
            return member
        folder = posixpath.dirname(member.name) if member.issym() else ""
        found = members.get(posixpath.normpath(posixpath.join(folder, member.linkname)))
        if found is None:
            return None
        member = found
    return None


def _check_end(path: Path, archive: tarfile.TarFile) -> None:
    """Refuse an archive that was cut between two of its files, or has another one behind it."""
    file: IO[bytes] = archive.fileobj  # type: ignore[assignment]  # an open archive has one
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise _broken(path, "its end is missing")
    for block in iter(lambda: file.read(1 << 20), b""):
        if block.strip(b"\0"):
            raise ValueError(
                f"{path} goes on behind its end, as two archives in one file do; join them with "
                "tar --concatenate, or give a folder of both"
            )


def _broken(path: Path, reason: Exception | str) -> ValueError:
    return ValueError(f"{path} is truncated or no uncompressed archive ({reason}); fetch it again")
