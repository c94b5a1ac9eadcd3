"""Recipes: the shipped ones have the paper's values, and mistakes in others are named."""

from pathlib import Path

import pytest

from deeprect_gluon import models
from deeprect_gluon.train.config import read_recipe

CONFIGS = Path(__file__).parents[2] / "configs" / "imagenet"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_are_the_papers(path):
    found = read_recipe(path)
    names = {"large": "deeprect_a", "small14": "deeprect_small14"}
    assert models.Config(**found.model).name == names[path.stem]
    assert (found.train.batch_size, found.train.momentum) == (128, 0.9)
    assert (found.train.weight_decay, found.train.lr) == (5e-4, 0.01)
    assert models.Config(**found.model).dropout == 0.5
    small = path.stem == "small14"
    assert found.train.epochs == (75 if small else 80)
    assert found.data["sides"] == ([256, 256] if small else [256, 512])
    assert found.init["fan"] == ("in" if small else "out")
    assert found.train.checkpoint_every


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: {name: deeprect_a}\ntrian: {}", "trian is not known; did you mean 'train'"),
        ("model: {name: deeprect_a}\ntrain: {epoch: 3}", "train.epoch .* mean 'epochs'"),
        ("model: {name: deeprect_a}\ntrain: {lr: -1}", "train: lr=-1 must be greater than 0"),
        ("model: {name: deeprect_a}\ntrain: {lr: 1e-2}", "train.lr is '1e-2', not float .*1.0e-2"),
        ("model: {name: deeprect_a}\ntrain: {lr_drops: 30}", "train.lr_drops is 30, not list"),
        ("model: {name: deeprect_a, classes: 5}", "model.classes is not known"),
        ("model: {name: deeprect_a}\ntrain: 3", "train is 3, not settings"),
        ("model: {width: 1}", "does not say the model's name"),
        ("[1, 2]", "does not say the model's name"),
        ("model: [", "is not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_recipe(path)
