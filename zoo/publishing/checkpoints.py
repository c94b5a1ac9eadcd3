"""Read the folder that a training leaves, and build its network."""

from __future__ import annotations

import json
from pathlib import Path

import mxnet as mx

from deeprect_gluon import models

from .datasets import dataset_of

CONFIG, WEIGHTS, HISTORY = "config.json", "weights.params", "history.csv"


def read_config(folder: Path) -> dict:
    """Return the content of config.json, the `model`, `dataset` and recipe of a training.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has other content.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text())
        models.Config(**config["model"])
        config["dataset"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the config.json of a training ({error!r})") from error
    return config


def load_checkpoint(path: Path | str) -> models.DeepRect:
    """Return the net of a training, with the class names and preprocessing of its dataset.

    Parameters
    ----------
    path : path
        weights.params, or another file of parameters, with config.json beside it; or the folder.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, or was not written by a training.
    """
    path = Path(path)
    path = path / WEIGHTS if path.is_dir() else path
    config = read_config(path.parent)
    net = models.get_model(**config["model"])
    models.load_weights(net, path, mx.cpu())
    if config["dataset"] == "imagenet" and net.config["classes"] == 1000:
        return models.imagenet.describe(net)
    dataset = dataset_of(config)
    net.classes, net.preprocess = dataset.classes, dataset.preprocess(net.config["input_size"])
    return net
