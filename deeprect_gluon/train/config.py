"""Describe a training: its settings, the flags that follow from them, and recipes (YAML files)."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Collection, Mapping

import yaml

from ..errors import suggest
from ..models import Config

AMP = ("none", "float16", "bfloat16")


def _setting(default: Any, help: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainConfig:
    """SGD with momentum, as in section 3 of the paper; defaults are the paper's where it has one.

    `python scripts/train_imagenet.py --help` explains the fields: each is a flag there.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    epochs: int = _setting(80, "epochs of the training set")
    batch_size: int = _setting(128, "images in a step, over all workers")
    lr: float = _setting(0.01, "learning rate at the start")
    lr_drops: tuple[int, ...] = _setting(
        (), "epochs, counted from 0, at whose start it is divided by 10"
    )
    plateau: int = _setting(0, "epochs without a better validation error that divide it by 10")
    plateau_drops: int = _setting(2, "how often a plateau may do that")
    plateau_gain: float = _setting(0.001, "by how much an error must fall to be a better one")
    early_stop: bool = _setting(False, "stop at the plateau after the last of those drops")
    warmup_epochs: float = _setting(0.0, "epochs in which the learning rate rises from 0")
    linear_scaling: bool = _setting(False, "multiply it by batch-size / 128 (Goyal et al. 2017)")
    momentum: float = _setting(0.9, "momentum of SGD")
    weight_decay: float = _setting(5e-4, "weight decay; slopes never take it")
    bias_decay: bool = _setting(True, "weight decay on biases too")
    amp: str = _setting("none", f"mixed precision: {', '.join(AMP)}")
    seed: int = _setting(0, "of the order of the data, its augmentation and dropout")
    max_steps: int = _setting(0, "stop after so many steps (0: no limit)")
    report_every: int = _setting(20, "steps between two rows of the history")
    checkpoint_every: int = _setting(
        0, "steps between two checkpoints, and one after each epoch (0: none at all)"
    )
    keep_checkpoints: int = _setting(2, "latest checkpoints to keep, beside the best one")

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr_drops", tuple(self.lr_drops))
        for name in ("epochs", "batch_size", "lr", "report_every", "keep_checkpoints"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be greater than 0")
        for name in ("plateau", "plateau_drops", "warmup_epochs", "max_steps", "checkpoint_every"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.amp not in AMP:
            raise ValueError(f"amp={self.amp!r} is not known; use one of {', '.join(AMP)}")
        if self.early_stop and not self.plateau:
            raise ValueError("early_stop waits for a plateau; give plateau, a number of epochs")

    def last_step(self, steps_per_epoch: int) -> int:
        """Return the number of steps in all, if no plateau ends the training before."""
        steps = self.epochs * steps_per_epoch
        return min(steps, self.max_steps) if self.max_steps else steps


# A parser, or a group of its arguments.
_Arguments = argparse._ActionsContainer


def add_flags(parser: _Arguments, defaults: TrainConfig) -> None:
    """Add a flag for each field of a configuration; one that is not given leaves no attribute."""
    for field in fields(TrainConfig):
        default = getattr(defaults, field.name)
        shown = str(default)
        how: dict[str, Any] = {"type": type(default), "metavar": type(default).__name__.upper()}
        if isinstance(default, tuple):
            shown = " ".join(map(str, default)) or "none"
            how = {"type": int, "nargs": "*", "metavar": "EPOCH"}
        elif isinstance(default, bool):
            shown = "yes" if default else "no"
            how = {"type": _boolean, "nargs": "?", "const": True, "metavar": "yes|no"}
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']} (default: {shown})",
            **how,
        )


def _boolean(text: str) -> bool:
    known = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return known[text.lower()]


def with_flags(config: TrainConfig, args: argparse.Namespace) -> TrainConfig:
    """Return a configuration with the fields replaced that flags of `add_flags` gave."""
    names = {field.name for field in fields(TrainConfig)}
    return replace(config, **{k: v for k, v in vars(args).items() if k in names})


@dataclass(frozen=True)
class Recipe:
    """A net, its first weights, its data and its training.

    Parameters
    ----------
    model : dict
        Arguments of `models.get_model`, without those that follow from the data.
    init : dict
        `rule` and `fan` of `initializer.initialize`.
    data : dict
        For ImageNet `folder`, `sides`, `colour` and `threads` of `data.imagenet.ImageRecords`; for
        Fashion-MNIST `augment`.
    train : TrainConfig
    """

    model: dict
    init: dict
    data: dict
    train: TrainConfig

    def override(self, model: Mapping, data: Mapping, train: TrainConfig) -> Recipe:
        """Return a recipe with some values of model and data replaced, and the whole of `train`."""
        return replace(self, model={**self.model, **model}, data={**self.data, **data}, train=train)


_KNOWN = {
    "model": [field.name for field in fields(Config) if field.name != "classes"],
    "init": ["rule", "fan"],
    "data": ["folder", "sides", "colour", "threads"],
    "train": [field.name for field in fields(TrainConfig)],
}
_DEFAULTS = {"init": {"rule": "msra", "fan": "in"}}


def read_recipe(path: Path) -> Recipe:
    """Read the recipe of a training on ImageNet (YAML).

    Raises
    ------
    ValueError
        If the file is not a recipe, or has an unknown name; the message suggests the nearest.
    OSError
        If it cannot be read.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(f"{path} does not say the model's name: model: {{name: deeprect_a}}")
    _refuse_unknown(path, "", content, _KNOWN)
    for section, values in content.items():
        if not isinstance(values, dict):
            raise ValueError(f"{path}: {section} is {values!r}, not settings with their values")
        _refuse_unknown(path, f"{section}.", values, _KNOWN[section])
    model, init, data, train = (
        {**_DEFAULTS.get(name, {}), **content.get(name, {})} for name in _KNOWN
    )
    if "name" not in model:
        raise ValueError(f"{path} does not say the model's name: model: {{name: deeprect_a}}")
    for field in fields(TrainConfig):
        _check_type(path, field.name, field.default, train.get(field.name))
    try:
        return Recipe(model, init, data, TrainConfig(**train))
    except ValueError as error:
        raise ValueError(f"{path}: train: {error}") from error


def _check_type(path: Path, name: str, default: object, value: object) -> None:
    wanted: tuple[type, ...] = {float: (int, float), tuple: (list,)}.get(
        type(default), (type(default),)
    )
    if value is not None and type(value) not in wanted:
        hint = " (in YAML a number with an exponent needs a point: 1.0e-2)"
        raise ValueError(
            f"{path}: train.{name} is {value!r}, not {wanted[-1].__name__}"
            f"{hint if isinstance(value, str) else ''}"
        )


def _refuse_unknown(path: Path, where: str, values: dict, known: Collection[str]) -> None:
    for name in values:
        if name not in known:
            raise ValueError(f"{path}: {where}{name} is not known; {suggest(str(name), known)}")
