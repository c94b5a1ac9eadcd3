"""Configuration files of trainings: a net, its first weights, its data and its steps."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Mapping

import yaml

from ..models import Config
from .config import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """What a configuration file says.

    Parameters
    ----------
    model : dict
        Arguments of `models.get_model`; classes come from the data.
    init : dict
        `rule` and `fan` of `session.initialize`.
    data : dict
        `folder`, `sides`, `colour` and `threads` of `data.imagenet.ImageRecords`, and `dali`:
        whether NVIDIA DALI makes the training images, on the worker's GPU if it has one.
    train : TrainConfig
    """

    model: dict
    init: dict
    data: dict
    train: TrainConfig

    def override(self, model: Mapping, data: Mapping, train: TrainConfig) -> Recipe:
        """Return a recipe with some values of the model and the data, and all steps, replaced."""
        return replace(self, model={**self.model, **model}, data={**self.data, **data}, train=train)


_KNOWN = {
    "model": [field.name for field in fields(Config) if field.name != "classes"],
    "init": ["rule", "fan"],
    "data": ["folder", "sides", "colour", "threads", "dali"],
    "train": [field.name for field in fields(TrainConfig)],
}
_DEFAULTS = {"init": {"rule": "msra", "fan": "in"}}


def read(path: Path) -> Recipe:
    """Read a configuration file (YAML).

    Raises
    ------
    ValueError
        If it is no such file, or names what is not known; the message names the nearest.
    OSError
        If it cannot be read.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(f"{path} does not say the model's name: model: {{name: deeprect_a}}")
    _refuse_unknown(path, "", content, _KNOWN)
    for section, values in content.items():
        if not isinstance(values, dict):
            raise ValueError(f"{path}: {section} is {values!r}, not settings with their values")
        _refuse_unknown(path, f"{section}.", values, _KNOWN[section])
    sections = {name: {**_DEFAULTS.get(name, {}), **content.get(name, {})} for name in _KNOWN}
    if "name" not in sections["model"]:
        raise ValueError(f"{path} does not say the model's name: model: {{name: deeprect_a}}")
    for field in fields(TrainConfig):
        _check_type(path, field.name, field.default, sections["train"].get(field.name))
    try:
        train = TrainConfig(**sections.pop("train"))
    except ValueError as error:
        raise ValueError(f"{path}: train: {error}") from error
    return Recipe(**sections, train=train)


def _check_type(path: Path, name: str, default, value) -> None:
    wanted = {bool: (bool,), int: (int,), float: (int, float), str: (str,), tuple: (list,)}
    if value is not None and type(value) not in wanted[type(default)]:
        hint = " (in YAML a number with an exponent needs a point: 1.0e-2)"
        raise ValueError(
            f"{path}: train.{name} is {value!r}, not {wanted[type(default)][-1].__name__}"
            f"{hint if isinstance(value, str) else ''}"
        )


def _refuse_unknown(path: Path, where: str, values: dict, known) -> None:
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise ValueError(f"{path}: {where}{name} is not known; {hint}")
