"""Build networks by name, with or without trained weights."""

from __future__ import annotations

import fnmatch
import logging
from functools import cached_property
from pathlib import Path
from typing import Any, Iterable, Sequence

import mxnet as mx

from deeprect_gluon import models
from deeprect_gluon.errors import one_of, require
from deeprect_gluon.images import Preprocess
from deeprect_gluon.initializer import MSRA, rectifier_slopes

from . import index as index_file
from . import weights
from .store import Store, open_store

logger = logging.getLogger("zoo")


class PublishedNet(models.DeepRect):
    """A network with published weights.

    Attributes
    ----------
    entry : dict
        What the index of the store says of the weights.
    """

    entry: dict

    @cached_property
    def card(self) -> str:
        """The model card of the weights as Markdown."""
        from .publishing.cards import card

        return card(self.entry)


def get_model(
    name: str,
    pretrained: bool | str = False,
    classes: int | Sequence[str] | None = None,
    activation: str | None = None,
    ctx: mx.Context | Sequence[mx.Context] | None = None,
    root: str | Path | None = None,
    repo: str | Path | Sequence[str | Path] | None = None,
    **config,
) -> models.DeepRect:
    """Return a net by name.

    Parameters
    ----------
    name : str
        One of `deeprect_gluon.models.model_names()`.
    pretrained : bool or str
        True for the default weights of that name, "dataset" or "dataset@version" for those of a
        dataset or version. With False the net is not initialised.
    classes : int or sequence of str, optional
        Number of classes, or their names. If the trained net has another number of classes, the
        classifier is initialised with new weights; all other weights are the trained ones.
    activation : {"prelu", "prelu_shared", "relu"}, optional
    ctx : Context or list of Context, optional
        Where the trained weights go; by default the CPU.
    root : path, optional
        The cache; by default `$MXNET_HOME/models`.
    repo : path, URL or sequence of these, optional
        The store, or copies of it in the order in which to try them; by default
        `$DEEPRECT_ZOO_REPO`, else the store that comes with the package.
    config : dict
        Further arguments of `deeprect_gluon.models.get_model`. With trained weights they must leave
        the parameters' shapes as published.

    Returns
    -------
    DeepRect
        With `pretrained` a `PublishedNet`, whose `classes` are names, whose `preprocess` turns
        images into inputs, and whose `card` is Markdown.

    Raises
    ------
    ValueError
        If the name is unknown, the file is not the published one, or the arguments do not fit the
        weights.
    TypeError
        If `pretrained` or `classes` is of another type.
    LookupError
        If no such weights are published.
    OSError
        If no copy of the store can be read, or the cache cannot be written.
    """
    name = models.Config(name).name  # raises if the name is unknown
    if not isinstance(pretrained, (bool, str)):
        raise TypeError(
            f"pretrained={pretrained!r} names no weights; give True, 'dataset' or 'dataset@version'"
        )
    require("activation", activation, str, type(None))
    if isinstance(classes, str):
        raise TypeError(f"classes={classes!r} is one name; give a number or a sequence of names")
    names = tuple(classes) if isinstance(classes, Iterable) else None
    given: dict[str, Any] = {
        "classes": len(names) if names else classes,
        "activation": activation,
        **config,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if not pretrained:
        net = models.get_model(name, **given)
        net.classes = names
        return net

    store = open_store(repo, root)
    entry = index_file.select(
        store.entries, name, None if pretrained is True else pretrained, activation
    )
    prefix, fast = given.pop("prefix", None), given.pop("fast", None)
    net = PublishedNet(models.Config(**{**entry["config"], **given}), prefix, fast)
    _load(net, store, entry, ctx or mx.cpu())
    if names or net.config["classes"] == len(entry["classes"]):
        net.classes = names or tuple(entry["classes"])
    else:
        net.classes = None
    return net


def _load(
    net: PublishedNet, store: Store, entry: dict, ctx: mx.Context | Sequence[mx.Context]
) -> None:
    """Give a net the weights, preprocessing and index entry of an entry of the store."""
    new_head = net.config["classes"] != entry["config"]["classes"]
    arrays = store.read(entry["weights"], weights.decode)
    if new_head:
        net.output.initialize(MSRA(rectifier_slopes(net)), ctx=ctx)
    try:
        models.load_weights(net, arrays, ctx)
    except ValueError as error:
        raise ValueError(f"{error}; leave the net's arguments as published") from error
    net.preprocess = _preprocess(entry["preprocess"], net.config["input_size"])
    net.entry = entry
    logger.info(
        "%s version %d: top-1 error %.2f%% on %s, SHA-256 %s%s",
        index_file.title(entry),
        entry["version"],
        100 * entry["metrics"]["top1_error"],
        entry["dataset"],
        entry["weights"]["sha256"],
        f", with a new classifier of {net.config['classes']} classes" if new_head else "",
    )


def _preprocess(described: dict, size: int) -> Preprocess:
    """Return the preprocessing that an entry describes, scaled to inputs of `size`."""
    resize = described.get("resize")
    return Preprocess(
        size,
        tuple(described["mean"]),
        tuple(described["std"]),
        resize=resize and round(size * resize / described["size"]),
        border=resize is None,
    )


def list_models(
    filter: str | None = None,
    pretrained: bool = False,
    repo: str | Path | Sequence[str | Path] | None = None,
) -> list[str]:
    """Return the names of the models.

    Parameters
    ----------
    filter : str, optional
        Shell pattern, such as "deeprect_small*".
    pretrained : bool
        Only those with published weights.
    repo : path or URL, optional
        As for `get_model`.
    """
    require("filter", filter, str, type(None))
    one_of("pretrained", pretrained, False, True)
    names = models.model_names()
    if pretrained:
        published = {entry["name"] for entry in open_store(repo).entries}
        names = [name for name in names if name in published]
    return fnmatch.filter(names, filter) if filter else list(names)


def model_info(
    name: str,
    weights: str | None = None,
    activation: str | None = None,
    repo: str | Path | Sequence[str | Path] | None = None,
) -> dict:
    """Return the index entry of published weights: configuration, metrics, recipe and file.

    Parameters are those of `get_model`, `weights` being "dataset" or "dataset@version".

    Raises
    ------
    ValueError, TypeError, LookupError, OSError
        As for `get_model`.
    """
    name = models.Config(name).name  # raises if the name is unknown
    require("activation", activation, str, type(None))
    return index_file.select(open_store(repo).entries, name, weights, activation)
