"""Find ImageNet's images and labels: in archives as they are distributed, or in folders.

Scanning reads names, places and sizes only. An image in an archive, even in an archive within an
archive, is a range of bytes of one file. So any process can read it alone, and nothing needs to be
unpacked.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import IO, Iterator, NamedTuple

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")

_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"


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
        """
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), self.length, self.start)


def scan_classes(place: Path) -> list[Source]:
    """Find the images of a split that is sorted by class.

    Parameters
    ----------
    place : Path
        A folder with, for each class, a folder of images or an archive of them; or an archive of
        such archives, as ILSVRC2012_img_train.tar is.

    Returns
    -------
    list of Source
        By class and name.

    Raises
    ------
    FileNotFoundError
        If there is no such place.
    ValueError
        If it holds no images in this form, or an archive is truncated.
    """
    _must_exist(place)
    sources = []
    if place.is_dir():
        for child in sorted(place.iterdir()):
            if child.is_dir():
                found = _in_folder(child)
            elif child.suffix == ".tar":
                found = _in_archive(child)
            else:
                continue
            sources += _of_class(child.stem if child.is_file() else child.name, found)
    else:
        with _open_archive(place) as outer:
            for member in _files(place, outer, (".tar",)):
                found = _in_archive(place, outer.extractfile(member), member.offset_data)
                sources += _of_class(Path(member.name).stem, found)
    if not sources:
        raise ValueError(
            f"{place} holds no images ({', '.join(IMAGE_SUFFIXES)}) in a folder or archive for "
            "each class; a split in one piece, as ILSVRC's validation images are, needs its labels"
        )
    return sorted(sources, key=lambda source: (source.wordnet_id, source.name))


def scan_flat(place: Path, labels: Path) -> list[Source]:
    """Find the images of a split that is in one piece, and their classes in a list.

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
        If images and labels do not belong together, or an archive is truncated.
    """
    _must_exist(place)
    found = _in_folder(place) if place.is_dir() else _in_archive(place)
    found.sort(key=lambda source: source.name)
    if not found:
        raise ValueError(f"{place} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    classes = read_labels(labels, [Path(source.name).stem for source in found])
    return [source._replace(wordnet_id=name) for source, name in zip(found, classes)]


def read_labels(labels: Path, stems: list[str]) -> list[str]:
    """Return the class of each image of a split.

    Parameters
    ----------
    labels : Path
        ILSVRC's development kit (ILSVRC2012_devkit_t12.tar.gz, or the folder it unpacks to). It
        numbers images by the order of their names, and has its own numbers for classes. Or a text
        file with a line for each image: its name, a comma or space, and its class. Kaggle's
        LOC_val_solution.csv is such a list.
    stems : list of str
        Names of the images without folder and suffix, in order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If an image has no label, a label no image, or the file is of another form.
    ImportError
        If the development kit is to be read and SciPy is not installed.
    """
    _must_exist(labels)
    if labels.is_dir():
        files = {path.name: path.read_bytes() for path in labels.rglob("*") if path.is_file()}
        return _of_development_kit(labels, files, len(stems))
    if tarfile.is_tarfile(labels):
        with tarfile.open(labels) as archive:
            files = {
                Path(member.name).name: file.read()
                for member in archive
                if (file := archive.extractfile(member)) is not None
            }
        return _of_development_kit(labels, files, len(stems))
    return _of_list(labels, stems)


def _of_development_kit(labels: Path, files: dict[str, bytes], images: int) -> list[str]:
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
    return [ids[number] for number in numbers]


def _of_list(labels: Path, stems: list[str]) -> list[str]:
    classes = {}
    for line in labels.read_text(encoding="utf-8").splitlines():
        name, *rest = line.replace(",", " ").split() or [""]
        if not rest and name:
            raise ValueError(f"{labels}: the line {line!r} has no class")
        if name and name != "ImageId":  # the heading of Kaggle's list
            classes[Path(name).stem] = rest[0]
    without = [stem for stem in stems if stem not in classes]
    if without:
        raise ValueError(
            f"{labels} has no label for {len(without)} of {len(stems)} images, {without[0]} first"
        )
    if len(classes) > len(stems):
        extra = min(set(classes) - set(stems))
        raise ValueError(
            f"{labels} has labels of {len(classes)} images, but there are {len(stems)}: "
            f"{extra} is missing"
        )
    return [classes[stem] for stem in stems]


def _must_exist(place: Path) -> None:
    if not place.exists():
        raise FileNotFoundError(f"{place} is missing; give the place of ImageNet's files")


def _in_folder(folder: Path) -> list[Source]:
    return [
        Source(path, 0, path.stat().st_size, path.name, "")
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]


def _of_class(wordnet_id: str, found: list[Source]) -> list[Source]:
    return [
        source._replace(name=f"{wordnet_id}/{source.name}", wordnet_id=wordnet_id)
        for source in found
    ]


def _in_archive(path: Path, file: IO[bytes] | None = None, offset: int = 0) -> list[Source]:
    """Find the images in an archive that is a file, or lies at an offset of one."""
    with _open_archive(path, file) as archive:
        return [
            Source(path, offset + member.offset_data, member.size, Path(member.name).name, "")
            for member in _files(path, archive, IMAGE_SUFFIXES)
        ]


def _open_archive(path: Path, file: IO[bytes] | None = None) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:", file)  # uncompressed: its files are ranges of its bytes
    except tarfile.TarError as error:
        raise _broken(path, error) from error


def _files(
    path: Path, archive: tarfile.TarFile, suffixes: tuple[str, ...]
) -> Iterator[tarfile.TarInfo]:
    try:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(suffixes):
                yield member
    except tarfile.TarError as error:
        raise _broken(path, error) from error
    # This is the only sign of an archive that was cut between two of its files.
    file: IO[bytes] = archive.fileobj  # type: ignore[assignment]  # an open archive has one
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise _broken(path, "its end is missing")


def _broken(path: Path, reason: Exception | str) -> ValueError:
    return ValueError(f"{path} is truncated or no uncompressed archive ({reason}); fetch it again")
