"""Check every file of a store, and measure its networks again."""

from __future__ import annotations

import mxnet as mx

from deeprect_gluon import models

from .. import index as index_file
from ..store import Store
from ..weights import decode
from .datasets import get_dataset

# Processors round differently, which can change the class of an image with two nearly equal scores.
TOLERANCE = 2e-4


def verify(store: Store, metrics: bool = False) -> dict[str, str | None]:
    """Check every published net of a store: the digests of its files, and that it can be loaded.

    Parameters
    ----------
    store : Store
    metrics : bool
        Also measure the error of each net, and compare it with the index.

    Returns
    -------
    dict of str to (str or None)
        By "NAME-ACTIVATION-DATASET@VERSION": the problem, or None.
    """
    found: dict[str, str | None] = {}
    for entry in store.entries:
        label = f"{index_file.title(entry)}@{entry['version']}"
        try:
            _check_entry(store, entry, metrics)
            found[label] = None
        except (ValueError, TypeError, OSError) as error:
            found[label] = str(error)
    return found


def _check_entry(store: Store, entry: dict, metrics: bool) -> None:
    store.read(entry["history"])
    net = models.get_model(**entry["config"])
    models.load_weights(net, store.read(entry["weights"], decode), mx.cpu())
    if metrics:
        net.hybridize()
        measured = get_dataset(entry["dataset"]).measure(net, entry["config"]["input_size"])
        published = entry["metrics"]["top1_error"]
        if abs(measured["top1_error"] - published) > TOLERANCE:
            raise ValueError(
                f"its top-1 error is {measured['top1_error']}, published as {published}"
            )
