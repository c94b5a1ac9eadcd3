"""Prepare a net of the paper and its data for a training on ImageNet, or images in that form."""

from __future__ import annotations

from typing import Any

from .. import models
from ..data.imagenet import DATASET, ImageRecords, data_folder
from ..files import sha256
from .config import Recipe
from .distributed import Workers
from .loop import Task


def task(recipe: Recipe, workers: Workers) -> Task:
    """Build a recipe's net, and open the data that it is trained on.

    Parameters
    ----------
    recipe : Recipe
    workers : Workers

    Returns
    -------
    Task
        The net is not initialised; its number of classes is that of the data, which are
        `ImageRecords`.

    Raises
    ------
    ValueError, FileNotFoundError
        If the recipe or the data are not right.
    """
    config, data = recipe.train, dict(recipe.data)
    folder = data_folder(data.pop("folder", None))
    sides = tuple(data.pop("sides", (256, 512)))
    part: dict[str, Any] = {
        "rank": workers.rank,
        "size": workers.size,
        "input_size": models.Config(**recipe.model).input_size,
        "threads": data.pop("threads", None),
    }
    batches = ImageRecords(
        folder,
        "train",
        config.batch_size,
        train=True,
        sides=sides,
        seed=config.seed,
        **part,
        **data,
    )
    validation = ImageRecords(folder, "val", config.batch_size, train=False, **part)
    if batches.classes != validation.classes:
        raise ValueError(f"the splits train and val in {folder} have different classes")
    net = models.get_model(**recipe.model, classes=len(batches.classes))
    return Task(
        net,
        batches,
        validation,
        f"{net.config['name']} on ImageNet",
        {
            "dataset": DATASET,
            "data": {
                "folder": str(folder.resolve()),
                "sides": batches.sides,
                "colour": batches.colour,
            },
            # A split's metadata have the digests of all its files.
            **{f"{split}_records": sha256(folder / f"{split}.json") for split in ("train", "val")},
            "init": recipe.init["rule"],
            "fan": recipe.init["fan"],
        },
    )


def describe(task: Task) -> str:
    """Read an image of each split, and return how many there are."""
    batches, validation = task.batches, task.validation
    assert isinstance(batches, ImageRecords)
    assert isinstance(validation, ImageRecords)
    for dataset in (batches, validation):
        next(dataset.epoch())
    config = task.net.config
    return (
        f"{config['name']}, {config['activation']}, on {batches.shards.folder}: "
        f"{len(batches.shards):,} training and {len(validation.shards):,} validation images of "
        f"{len(batches.classes)} classes"
    )
