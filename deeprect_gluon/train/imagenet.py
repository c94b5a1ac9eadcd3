"""The training of a net of the paper on ImageNet, or on images in the same form."""

from __future__ import annotations

from pathlib import Path

from .. import models
from ..data.imagenet import DATASET, ImageRecords, data_folder
from ..initializer import initialize
from . import loop
from .config import Recipe
from .distributed import Workers
from .history import History


class Training:
    """What a recipe comes to with its data: ready to be trained, or only looked at.

    Parameters
    ----------
    recipe : Recipe
    workers : Workers

    Attributes
    ----------
    net : DeepRect
        Not initialised.
    train, validation : ImageRecords
        This worker's part of them.

    Raises
    ------
    ValueError, FileNotFoundError
        If the recipe or the data are not right.
    """

    def __init__(self, recipe: Recipe, workers: Workers):
        self.recipe, self.workers = recipe, workers
        data = dict(recipe.data)
        self.folder = data_folder(data.pop("folder", None))
        size = models.Config(**recipe.model).input_size
        part = {"rank": workers.rank, "size": workers.size, "input_size": size}
        part["threads"] = data.pop("threads", None)
        config = recipe.train
        sides = tuple(data.pop("sides", (256, 512)))
        self.train = ImageRecords(
            self.folder,
            "train",
            config.batch_size,
            train=True,
            sides=sides,
            seed=config.seed,
            **part,
            **data,
        )
        self.validation = ImageRecords(self.folder, "val", config.batch_size, train=False, **part)
        if self.train.classes != self.validation.classes:
            raise ValueError(f"the splits train and val in {self.folder} have different classes")
        self.net = models.get_model(**recipe.model, classes=len(self.train.classes))

    def describe(self) -> str:
        """Read an image of each split and say how many there are."""
        counts = []
        for dataset in (self.train, self.validation):
            next(dataset.epoch())
            counts.append(f"{len(dataset.shards):,}")
        name, activation = (self.net.config[key] for key in ("name", "activation"))
        return (
            f"{name}, {activation}, on {self.folder}: {counts[0]} training and {counts[1]} "
            f"validation images of {len(self.train.classes)} classes"
        )

    def run(self, output: Path, resume: bool = False) -> History:
        """Initialise the net and train it into the folder of a run; see `loop.train`."""
        recipe, config = self.recipe, self.recipe.train
        rule, fan = recipe.init["rule"], recipe.init["fan"]
        initialize(self.net, rule, fan, config.seed, self.workers.context)
        data = {**recipe.data, "folder": str(self.folder.resolve())}
        data.pop("threads", None)
        return loop.train(
            self.net,
            self.train,
            self.validation,
            config,
            output,
            self.workers,
            title=f"{self.net.config['name']} on ImageNet",
            resume=resume,
            dataset=DATASET,
            data=data,
            init=rule,
            fan=fan,
        )
