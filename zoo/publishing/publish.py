"""Publishing: from what a training left to an entry of a store's index."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from pathlib import Path

import mxnet as mx

from deeprect_gluon import models
from deeprect_gluon.images import Preprocess
from deeprect_gluon.models.weights import read_params

from .. import index as index_file
from .. import weights
from ..places import Bucket, Folder, UnavailableError, Web, open_place
from ..signatures import SECRET_KEY, key_from_environment, signature_name
from ..store import FILES, INDEX
from .checkpoints import CONFIG, HISTORY, WEIGHTS, read_config
from .datasets import Dataset, dataset_of
from .signing import sign


def publish(
    checkpoint: Path | str,
    name: str | None = None,
    dataset: str | None = None,
    *,
    to: Path | str,
    form: str = "float16",
    licence: str = "Apache-2.0",
) -> dict:
    """Add a trained net to a store, with figures measured from the very file that is published.

    Nothing published changes: a net that the store has already gets the next version. The index is
    replaced last, in one step, so that a publication cut short leaves the store as it was.

    Parameters
    ----------
    checkpoint : path
        weights.params as a training leaves it, with config.json and history.csv beside it; or the
        folder of the three.
    name, dataset : str, optional
        What the training must have been; they are read from its config.json.
    to : path or URL
        The store: a folder, or a bucket that fsspec can write to; made if there is none. Where
        `$DEEPRECT_ZOO_SECRET_KEY` holds an ed25519 key, the index is signed with it.
    form : {"float16", "int8", "float32"}
        See `zoo.weights`.
    licence : str
        SPDX identifier of the weights' licence.

    Returns
    -------
    dict
        The new entry.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of the files.
    ValueError
        If a file is not what a training leaves, or was made for another name or dataset, or the
        store can only be read, or is signed and no key is given.
    OSError
        If the store cannot be written.
    """
    place, secret = open_place(to), key_from_environment(SECRET_KEY)
    if isinstance(place, Web):
        raise ValueError(f"{to} can only be read; publish into the folder or bucket behind it")
    run = Path(checkpoint)
    run = run.parent if run.name == WEIGHTS else run
    recipe = _read_recipe(run, name, dataset)
    measured_on = dataset_of(recipe)
    config, dataset = recipe.pop("model"), recipe.pop("dataset")
    if config["classes"] != len(measured_on.classes):
        raise ValueError(
            f"{run} holds a net of {config['classes']} classes; {dataset} has "
            f"{len(measured_on.classes)}"
        )
    content = weights.encode(read_params(run / WEIGHTS), form)
    entry = {
        "name": config["name"],
        "dataset": dataset,
        "version": 0,
        "weights": {},
        "history": {},
        "config": config,
        "classes": list(measured_on.classes),
        "preprocess": _describe(measured_on.preprocess(config["input_size"])),
        **_measure(config, content, measured_on),
        "recipe": recipe,
        "licence": licence,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    with place.lock():
        index = _published(place, secret)
        title = index_file.title(entry)
        versions = [e["version"] for e in index["entries"] if index_file.title(e) == title]
        entry["version"] = max(versions, default=0) + 1
        stem = f"{title}-v{entry['version']}"
        entry["weights"] = {"format": form, **_add(place, f"{stem}-{{}}.safetensors", content)}
        entry["history"] = _add(place, f"{stem}-{{}}.csv", (run / HISTORY).read_bytes())
        index["entries"].append(entry)
        new = index_file.dump(index)
        index_file.parse(new, f"{place}/{INDEX}")
        if secret is not None:
            place.write(signature_name(new), sign(new, secret))
        place.write(INDEX, new)
    return entry


def _read_recipe(run: Path, name: str | None, dataset: str | None) -> dict:
    for file in (CONFIG, WEIGHTS, HISTORY):
        if not (run / file).is_file():
            raise FileNotFoundError(f"{run} has no {file}; give the folder of a finished training")
    recipe = read_config(run)
    found = {"name": recipe["model"]["name"], "dataset": recipe["dataset"]}
    for what, wanted in (("name", name), ("dataset", dataset)):
        if wanted is not None and wanted != found[what]:
            raise ValueError(f"{run} holds a training of {what} {found[what]!r}, not {wanted!r}")
    return recipe


def _describe(preprocess: Preprocess) -> dict:
    described = {
        "size": preprocess.size,
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
    }
    # Without it, small images get a border.
    return described if preprocess.border else {**described, "resize": preprocess.resize}


def _measure(config: dict, content: bytes, dataset: Dataset) -> dict:
    """Return metrics, parameters and multiply_adds of the net in an encoded weights file."""
    net = models.get_model(**config)
    models.load_weights(net, weights.decode(content), mx.cpu())
    net.hybridize()
    metrics = dataset.measure(net, config["input_size"])
    counts = models.summary(net)
    return {
        "metrics": metrics,
        "parameters": counts.parameters,
        "multiply_adds": counts.multiply_adds,
    }


def _published(place: Folder | Bucket, secret: bytes | None) -> dict:
    """Return the index of a store as it is now; an empty one if there is none yet."""
    try:
        content = place.read(INDEX)
    except UnavailableError as error:
        if error.again:
            raise
        return {"schema": 1, "entries": []}
    if secret is None:
        with contextlib.suppress(UnavailableError):
            place.read(signature_name(content))
            raise ValueError(f"{place} is signed; put its key into {SECRET_KEY}")
    return index_file.parse(content, f"{place}/{INDEX}")


def _add(place: Folder | Bucket, name: str, content: bytes) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    # The digest in the name keeps what a publication cut short has left out of the way.
    file = {"file": name.format(digest[:8]), "bytes": len(content), "sha256": digest}
    place.write(f"{FILES}/{file['file']}", content)
    return file
