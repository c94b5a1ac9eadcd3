"""Publish the result of a training: encode and measure its weights, and extend a store's index."""

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
from ..places import Bucket, Folder, MissingError, Web, open_place
from ..signatures import SECRET_KEY, key_from_environment, signature_name
from ..store import FILES, INDEX
from .checkpoints import CONFIG, HISTORY, WEIGHTS, read_config
from .datasets import Dataset, ImageNet, dataset_of
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
    """Add a trained net to a store, with the error of the net decoded from the published file.

    Published files never change: a net that the store already has gets the next version number. The
    index is replaced last and in one step, so that an interrupted publication leaves the store as
    it was.

    Parameters
    ----------
    checkpoint : path
        The folder of a training, with weights.params, config.json and history.csv; or
        weights.params in it.
    name, dataset : str, optional
        Raise an error if config.json has another model name or dataset.
    to : path or URL
        The store: a folder, or a bucket that fsspec can write to. It is made if it does not exist.
        If `$DEEPRECT_ZOO_SECRET_KEY` has an ed25519 key, the index is signed with it.
    form : {"float16", "int8", "float32"}
        See `zoo.weights`.
    licence : str
        SPDX identifier of the licence of the weights.

    Returns
    -------
    dict
        The new entry.

    Raises
    ------
    FileNotFoundError
        If one of the files is missing.
    ValueError
        If a file is damaged or has another name or dataset, the store can only be read, or the
        store is signed and no key is given.
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
    history = (run / HISTORY).read_bytes()
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
        versions = [version for other, version in index_file.versions(index) if other == title]
        entry["version"] = max(versions, default=0) + 1
        stem = f"{title}-v{entry['version']}"
        entry["weights"] = {"format": form, **_add(place, f"{stem}-{{}}.safetensors", content)}
        entry["history"] = _add(place, f"{stem}-{{}}.csv", history)
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
    # An entry without "resize" stands for images that get a border.
    return described if preprocess.border else {**described, "resize": preprocess.resize}


def _measure(config: dict, content: bytes, dataset: Dataset | ImageNet) -> dict:
    """Return metrics, parameters and multiply_adds of a net with the weights of a file."""
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
    """Return the present index of a store, or an empty index if the store has none."""
    try:
        content = place.read(INDEX)
    except MissingError:
        return {"schema": 1, "entries": []}
    if secret is None:
        with contextlib.suppress(MissingError):
            place.read(signature_name(content))
            raise ValueError(f"{place} is signed; put its key into {SECRET_KEY}")
    return index_file.parse(content, f"{place}/{INDEX}")


def _add(place: Folder | Bucket, name: str, content: bytes) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    # The name contains the digest, so that files of an interrupted publication are not overwritten.
    file = {"file": name.format(digest[:8]), "bytes": len(content), "sha256": digest}
    place.write(f"{FILES}/{file['file']}", content)
    return file
