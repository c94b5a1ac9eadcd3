"""Pack archives or folders of images into RecordIO shards: in parallel, restartable, verified.

The files depend on the sources and the options only, not on the number of processes or on
interruptions. A split's metadata (see `records`) is replaced after every shard. The last
replacement says that the split is complete.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Iterator, Sequence

import filelock
import numpy as np
from tqdm import tqdm

from ..files import write_text_atomically
from ..images.isolated import end_with_parent
from .imagenet_facts import class_names, wordnet_ids
from .imagenet_sources import Source
from .records import FORMAT
from .shard import Packing, Shard, make_shard

# Images of ILSVRC 2012.
COUNTS = {"train": 1_281_167, "val": 50_000}


class DamagedImagesError(ValueError):
    """Some sources are damaged, and the caller did not allow to leave them out."""


def find_classes(sources: Sequence[Source]) -> list[dict]:
    """Return the classes of images, in the order of their labels: that of their WordNet numbers.

    Returns
    -------
    list of dict
        id and name, which differ where the classes are the thousand of ILSVRC 2012.

    Raises
    ------
    ImportError
        If they are, and GluonCV, which has their names, is not installed.
    """
    ids = sorted({source.wordnet_id for source in sources})
    names = class_names() if _are_ilsvrc(ids) else ids
    return [{"id": wordnet_id, "name": name} for wordnet_id, name in zip(ids, names)]


def known_classes(output: Path, split: str) -> list[dict] | None:
    """Return the classes of a split whose preparation was at least begun, or None."""
    path = output / f"{split}.json"
    return json.loads(path.read_text(encoding="utf-8"))["classes"] if path.exists() else None


def summary(metadata: dict) -> str:
    """Return a sentence about a split, with a warning if its size is not that of ILSVRC."""
    split, images, classes = metadata["split"], metadata["images"], metadata["classes"]
    size = sum(file["bytes"] for shard in metadata["shards"] for file in shard["files"].values())
    text = (
        f"{split}: {images:,} images of {len(classes):,} classes in {len(metadata['shards'])} "
        f"shards, {size / 2**30:.2f} GiB"
    )
    damaged = metadata["sources"] - images
    if damaged:
        text += f"; {damaged} damaged ones were left out ({split}-damaged.txt lists them)"
    expected = COUNTS.get(split)
    if _are_ilsvrc([entry["id"] for entry in classes]) and images != expected:
        text += f"\nwarning: ILSVRC 2012 has {expected:,} images in {split}"
    return text


def _are_ilsvrc(ids: Sequence[str]) -> bool:
    return len(ids) == 1000 and tuple(ids) == wordnet_ids()


def prepare(
    output: Path,
    split: str,
    sources: Sequence[Source],
    classes: Sequence[dict],
    packing: Packing,
    processes: int = 1,
    allow_damaged: bool = False,
) -> dict:
    """Pack a split, or its missing shards.

    A shard that is there is kept if it was made from the same sources and every byte is right.

    Parameters
    ----------
    output : Path
        Folder; made if it is missing.
    split : str
    sources : sequence of Source
    classes : sequence of dict
        As `find_classes` returns them.
    packing : Packing
    processes : int
    allow_damaged : bool
        Leave out damaged sources. They are listed in `<split>-damaged.txt` and in the metadata in
        both cases.

    Returns
    -------
    dict
        The split's metadata.

    Raises
    ------
    DamagedImagesError
        If there are damaged sources and they are not to be left out.
    ValueError
        If an image's class is not among the classes, or the folder holds the split in another form.
    OSError
        If a file cannot be read or written, or another process is at work in the folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    labels = {entry["id"]: label for label, entry in enumerate(classes)}
    for source in sources:
        if source.wordnet_id not in labels:
            raise ValueError(
                f"{source.name} is of class {source.wordnet_id}, which is not one of the "
                f"{len(labels)} classes of the training images"
            )
    path = output / f"{split}.json"
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "split": split,
        "complete": False,
        "images": 0,
        "classes": list(classes),
        "sources": len(sources),
        "packing": asdict(packing),
        "shards": [],
    }
    with _alone_in(output):
        for leftover in output.glob(f".[0-9]*.{split}[-.]*"):  # files of a killed process
            leftover.unlink()
        known = _known_shards(path, metadata)
        shards = _divide(split, sources, labels, packing)
        for finished in _make_all(output, shards, known, processes):
            metadata["shards"] = finished
            _write(path, metadata)
        damaged = [image for entry in metadata["shards"] for image in entry["damaged"]]
        _list_damaged(output / f"{split}-damaged.txt", damaged)
        if damaged and not allow_damaged:
            raise DamagedImagesError(
                f"{len(damaged)} of {len(sources)} images of {split} are damaged, "
                f"{damaged[0]['name']} first ({output / split}-damaged.txt lists them): replace "
                "them and run this again, or allow that they are left out"
            )
        metadata["images"] = sum(entry["images"] for entry in metadata["shards"])
        metadata["complete"] = True
        _write(path, metadata)
    return metadata


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise BlockingIOError(f"another process is preparing records in {folder}") from error
    try:
        yield
    finally:
        lock.release()


def _make_all(
    output: Path, shards: Sequence[Shard], known: dict[str, dict], processes: int
) -> Iterator[list[dict]]:
    """Make the shards; after each, yield the metadata of all that are known."""
    images = sum(len(shard.sources) for shard in shards)
    progress = tqdm(total=images, unit="image", desc=shards[0].name.rpartition("-")[0])
    # By fork on every Python: a worker looks whether its parent is this process, and the default
    # of Python 3.14, forkserver, starts it from another one.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _start_worker, (os.getpid(),))
    futures = [pool.submit(make_shard, output, shard, known.get(shard.name)) for shard in shards]
    done = {}
    try:
        for future in as_completed(futures):
            entry = future.result()
            done[entry["name"]] = entry
            progress.update(entry["images"] + len(entry["damaged"]))
            # Keep what is known of later shards, so that an interruption does not lose it.
            yield [entry for _, entry in sorted({**known, **done}.items())]
    finally:
        for future in futures:
            future.cancel()
        pool.shutdown()
        progress.close()


def _list_damaged(path: Path, damaged: Sequence[dict]) -> None:
    if damaged:
        write_text_atomically(
            path, "".join(f"{image['name']}\t{image['reason']}\n" for image in damaged)
        )
    else:
        path.unlink(missing_ok=True)


def _known_shards(path: Path, metadata: dict) -> dict[str, dict]:
    """Return the shards that an earlier run with the same sources and options finished."""
    if not path.exists():
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    for key in ("format", "classes", "sources", "packing"):
        if before.get(key) != metadata[key]:
            change = "" if key == "classes" else f", {before.get(key)} instead of {metadata[key]}"
            raise ValueError(
                f"{path} describes records with other {key}{change}; give another folder, or "
                "delete this one"
            )
    return {entry["name"]: entry for entry in before["shards"]}


def _divide(
    split: str, sources: Sequence[Source], labels: dict[str, int], packing: Packing
) -> list[Shard]:
    """Shuffle the images and divide them among shards."""
    order = np.random.default_rng(packing.seed).permutation(len(sources)).tolist()
    shards: list[Shard] = []
    for start in range(0, len(order), packing.images_per_shard):
        chosen = [sources[i] for i in order[start : start + packing.images_per_shard]]
        identifiers = list(range(start, start + len(chosen)))
        own = [labels[source.wordnet_id] for source in chosen]
        shards.append(Shard(f"{split}-{len(shards):05d}", identifiers, own, chosen, packing))
    return shards


def _start_worker(parent: int) -> None:
    """Prepare a process of the pool."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback from each worker
    warnings.filterwarnings("ignore", module="PIL")  # odd EXIF data, which ImageNet has


def _write(path: Path, metadata: dict) -> None:
    write_text_atomically(path, json.dumps(metadata, indent=1, ensure_ascii=False) + "\n")
