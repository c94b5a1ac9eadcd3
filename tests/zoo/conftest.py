"""A small net as a training leaves it, and a store in which it is published."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Callable

import pytest
from servers import serving

import zoo
from deeprect_gluon import models
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.train import History, Run, TrainConfig
from deeprect_gluon.train.history import Row
from zoo.publishing import datasets
from zoo.publishing.publish import publish

TINY = {
    "name": "deeprect_small14",
    "classes": 10,
    "in_channels": 1,
    "input_size": 28,
    "stem": "small_image",
    "width": 0.05,
    "hidden": (16, 12),
}


def _make_run(folder: Path, seed: int = 0, **config) -> Path:
    """Leave in a folder what a training does; the net has only just been initialised."""
    net = models.get_model(**{**TINY, **config})
    net.initialize(MSRA(rectifier_slopes(net), seed=seed))
    run = Run(folder)
    run.save_config(net, TrainConfig(seed=seed), dataset="fashion_mnist")
    run.save_weights(net)
    history = History(folder)
    history.add(Row(1, 0.5, 0.01, 2.3, 0.9, 100.0))
    history.add(Row(2, 1.0, 0.01, 2.2, 0.8, 100.0, 2.1, 0.7))
    history.close()
    return folder


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    return _make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    return _make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def published(run, tmp_path_factory) -> Path:
    """A store that no test may change."""
    folder = tmp_path_factory.mktemp("store")
    publish(run, to=folder)
    return folder


@pytest.fixture
def few_images(monkeypatch) -> None:
    """Measure on 200 images, where the figure itself does not matter."""
    full = datasets._DATASETS["fashion_mnist"]
    images, labels = full.test_set()
    short = dataclasses.replace(full, test_set=lambda: (images[:200], labels[:200]))
    monkeypatch.setitem(datasets._DATASETS, "fashion_mnist", short)


@pytest.fixture
def store(published, tmp_path) -> Path:
    """A copy of that store, to be changed at will."""
    return Path(shutil.copytree(published, tmp_path / "store"))


@pytest.fixture
def server(store):
    """A server of that copy."""
    with serving(store) as server:
        yield server


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def file(published) -> dict:
    """The index's entry of the published weights' file."""
    return zoo.model_info(TINY["name"], repo=published)["weights"]
