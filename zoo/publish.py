"""Publishing: from what a training left to an entry of a store's index."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

import mxnet as mx
import numpy as np
from filelock import FileLock

from deeprect_gluon import models
from deeprect_gluon.files import write_atomically

from . import index as index_file
from . import weights
from .datasets import Dataset, get_dataset
from .pretrained import load_weights
from .store import FILES, INDEX, Store

CONFIG, WEIGHTS, HISTORY = "config.json", "weights.params", "history.csv"


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
    to : path
        Folder of the store; made if there is none.
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
        If a file is not what a training leaves, or was made for another name or dataset.
    """
    run = Path(checkpoint)
    run = run.parent if run.name == WEIGHTS else run
    recipe = _read_recipe(run, name, dataset)
    config, dataset = recipe.pop("model"), recipe.pop("dataset")
    measured_on = get_dataset(dataset)
    if config["classes"] != len(measured_on.classes):
        raise ValueError(
            f"{run} holds a net of {config['classes']} classes; {dataset} has "
            f"{len(measured_on.classes)}"
        )
    content = weights.encode(_read_parameters(run / WEIGHTS), form)
    entry = {
        "name": config["name"],
        "dataset": dataset,
        "version": 0,
        "weights": {},
        "history": {},
        "config": config,
        "classes": list(measured_on.classes),
        "preprocess": {
            "size": config["input_size"],
            "mean": list(measured_on.mean),
            "std": list(measured_on.std),
        },
        **_measure(config, content, measured_on),
        "recipe": recipe,
        "licence": licence,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    to = Path(to)
    (to / FILES).mkdir(parents=True, exist_ok=True)
    with FileLock(to / f".{INDEX}.lock"):
        store = Store(to)
        index = store.index() if (to / INDEX).exists() else {"schema": 1, "entries": []}
        title = index_file.title(entry)
        versions = [e["version"] for e in index["entries"] if index_file.title(e) == title]
        entry["version"] = max(versions, default=0) + 1
        stem = f"{title}-v{entry['version']}"
        entry["weights"] = {"format": form, **_add(store, stem, ".safetensors", content)}
        entry["history"] = _add(store, stem, ".csv", (run / HISTORY).read_bytes())
        index["entries"].append(entry)
        new = index_file.dump(index)
        index_file.parse(new, str(to / INDEX))
        write_atomically(to / INDEX, lambda path: path.write_bytes(new))
    return entry


def _read_recipe(run: Path, name: str | None, dataset: str | None) -> dict:
    for file in (CONFIG, WEIGHTS, HISTORY):
        if not (run / file).is_file():
            raise FileNotFoundError(f"{run} has no {file}; give the folder of a finished training")
    try:
        recipe = json.loads((run / CONFIG).read_text())
        found = {"name": recipe["model"]["name"], "dataset": recipe["dataset"]}
        models.Config(**recipe["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{run / CONFIG} is not the config.json of a training ({error!r})"
        ) from error
    for what, wanted in (("name", name), ("dataset", dataset)):
        if wanted is not None and wanted != found[what]:
            raise ValueError(f"{run} holds a training of {what} {found[what]!r}, not {wanted!r}")
    return recipe


def _read_parameters(path: Path) -> dict[str, np.ndarray]:
    try:
        return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}
    except (mx.MXNetError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a parameter file of Gluon's save_parameters, or is truncated"
        ) from error


def _measure(config: dict, content: bytes, dataset: Dataset) -> dict:
    """Return metrics, parameters and multiply_adds of the net in an encoded weights file."""
    net = models.get_model(**config)
    load_weights(net, content, mx.cpu())
    net.hybridize()
    metrics = dataset.measure(net, config["input_size"])
    counts = models.summary(net)
    return {
        "metrics": metrics,
        "parameters": counts.parameters,
        "multiply_adds": counts.multiply_adds,
    }


def _add(store: Store, stem: str, suffix: str, content: bytes) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    file = {
        # The digest in the name keeps the leftover of a publication cut short out of the way.
        "file": f"{stem}-{digest[:8]}{suffix}",
        "bytes": len(content),
        "sha256": digest,
    }
    write_atomically(store.path(file), lambda path: path.write_bytes(content))
    return file
