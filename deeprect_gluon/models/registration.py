"""Register the networks in GluonCV's model zoo."""

from __future__ import annotations

from functools import partial
from typing import Callable

import mxnet as mx

from .config import model_names
from .network import DeepRect, get_model


def _build(
    name: str,
    pretrained: bool | str = False,
    ctx: mx.Context | None = None,
    root: str | None = None,
    **config,
) -> DeepRect:
    """Build a net as GluonCV's `get_model` asks for it; `ctx` and `root` belong to weights."""
    if pretrained:
        raise ValueError(
            f"this package builds {name} but holds no weights: register the zoo's constructor with "
            "register_with_gluoncv(zoo.get_model)"
        )
    return get_model(name, **config)


def register_with_gluoncv(constructor: Callable[..., mx.gluon.HybridBlock] = _build) -> list[str]:
    """Make the networks of the paper known to `gluoncv.model_zoo.get_model`.

    Parameters
    ----------
    constructor : callable
        Called with a name and the other arguments of GluonCV's `get_model`. `zoo.get_model` also
        loads trained weights.

    Returns
    -------
    list of str
        The names registered. `vgg19` is not among them: GluonCV has a net of that name.

    Raises
    ------
    ImportError
        If GluonCV is not installed.

    Examples
    --------
    >>> register_with_gluoncv()
    >>> net = gluoncv.model_zoo.get_model("deeprect_c", classes=10)
    """
    from gluoncv.model_zoo.model_zoo import _models

    names = [name for name in model_names() if name.startswith("deeprect_")]
    _models.update({name: partial(constructor, name) for name in names})
    return names
