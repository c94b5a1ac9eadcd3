"""The network as a Gluon block, built from its configuration."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

import mxnet as mx
from mxnet.gluon import nn

from ..errors import require
from ..images import Preprocess
from ..initializer import MSRA
from ..nn import ConvPReLU, Dense, MaxPool2D, PReLU, SpatialPyramidPooling
from ..operators import overwritten_gradients
from .config import Config, MaxPool


def _activation(kind: str, channels: int, prefix: str) -> mx.gluon.HybridBlock:
    if kind == "relu":
        return nn.Activation("relu", prefix=prefix)
    return PReLU(shared=kind == "prelu_shared", in_channels=channels, prefix=prefix)


class DeepRect(mx.gluon.HybridBlock):
    """A network of He et al. 2015.

    Input (N, in_channels, input_size, input_size); output (N, classes), the scores before softmax.

    Parameters
    ----------
    config : Config
        The network to build.
    prefix : str, optional
        Of the parameters' names; by default the architecture's name and an underscore. Names are
        then the same in every process.
    fast : bool, optional
        How the layers are computed, see `nn.ConvPReLU`, `nn.Dense` and `nn.MaxPool2D`; parameters
        are the same.

    Attributes
    ----------
    features : HybridSequential
        Everything up to the last hidden layer, its activation and dropout included.
    output : Dense
        The classifier.
    config : dict
        `get_model(**net.config)` builds the same network; it is ready for JSON.
    classes : tuple of str or None
        Names of the classes.
    preprocess : Preprocess or None
        From images to the input. Code that knows the net's training data sets both, such as
        `models.imagenet.describe` and the zoo.
    """

    def __init__(self, config: Config, prefix: str | None = None, fast: bool | None = None):
        require("prefix", prefix, str, type(None))
        super().__init__(prefix=f"{config.name}_" if prefix is None else prefix)
        self.config: dict[str, Any] = {
            k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()
        }
        self.classes: tuple[str, ...] | None = None
        self.preprocess: Preprocess | None = None
        self._overwritten: list[mx.gluon.Parameter] = []
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            with self.features.name_scope():
                units = self._add_trunk(config, fast)
                units = self._add_hidden(config, units, fast)
            prefix = f"fc{len(config.hidden) + 1}_"
            self.output = Dense(config.classes, fast=fast, in_units=units, prefix=prefix)

    def _add_trunk(self, config: Config, fast: bool | None) -> int:
        """Add the convolutions and the pyramid; return the length of its output.

        A layer and its activation share a prefix: conv2_1_weight, conv2_1_bias, conv2_1_alpha.
        """
        channels, stage, position = config.in_channels, 1, 0
        for layer in config.layers:
            if isinstance(layer, MaxPool):
                self.features.add(
                    MaxPool2D(layer.kernel, layer.stride, fast=fast, prefix=f"pool{stage}_")
                )
                stage, position = stage + 1, 0
                continue
            position += 1
            prefix = f"conv{stage}_{position}_"
            self.features.add(
                ConvPReLU(
                    layer.filters,
                    layer.kernel,
                    layer.stride,
                    layer.pads[0],
                    in_channels=channels,
                    activation=config.activation,
                    fast=fast,
                    prefix=prefix,
                )
            )
            channels = layer.filters
        self.features.add(
            SpatialPyramidPooling(config.pyramid, config.map_size(), fast=fast, prefix="spp_")
        )
        return channels * sum(n * n for n in config.pyramid)

    def _add_hidden(self, config: Config, units: int, fast: bool | None) -> int:
        for i, size in enumerate(config.hidden, start=1):
            self.features.add(
                Dense(size, fast=fast, in_units=units, prefix=f"fc{i}_"),
                _activation(config.activation, size, f"fc{i}_"),
                nn.Dropout(config.dropout),
            )
            units = size
        return units

    def initialize(self, init=None, ctx=None, verbose=False, force_reinit=False):
        """Initialise as any Gluon block does; an `MSRA` draws the weights in place."""
        if isinstance(init, MSRA) and not verbose and not force_reinit:
            init.initialize(self, ctx)
        else:
            super().initialize(init or mx.init.Uniform(), ctx, verbose, force_reinit)

    def forward(self, x):
        expected = (self.config["in_channels"], *2 * (self.config["input_size"],))
        if isinstance(x, mx.nd.NDArray) and x.shape == expected:
            raise ValueError(
                f"{self.config['name']} takes a batch of images, got one of shape {x.shape}; "
                "x.expand_dims(0) adds the axis of the batch"
            )
        if isinstance(x, mx.nd.NDArray) and x.shape[1:] != expected:
            raise ValueError(
                f"{self.config['name']} was built for images of shape {expected}, got a batch of "
                f"shape {x.shape}; resize the images or build it with another input_size"
            )
        return super().forward(x)

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))

    # The graph that the net runs itself is lighter than the one that others get: while no gradient
    # accumulates, weights need not be read twice (`operators`).

    def _build_cache(self, *args):
        parameters = list(self.collect_params().values())
        overwritten = all(parameter.grad_req != "add" for parameter in parameters)
        self._overwritten = parameters if overwritten else []
        self._cached_graph = ()
        with overwritten_gradients() if overwritten else contextlib.nullcontext():
            super()._build_cache(*args)

    def _call_cached_op(self, *args):
        if any(parameter.grad_req == "add" for parameter in self._overwritten):
            self._clear_cached_op()
        return super()._call_cached_op(*args)

    def export(self, path, epoch=0, remove_amp_cast=True):
        """Export the net as any Gluon block does; its graph can be trained."""
        side = self.config["input_size"]
        self._clear_cached_op()
        super()._build_cache(mx.nd.zeros((1, self.config["in_channels"], side, side)))
        try:
            return super().export(path, epoch, remove_amp_cast)
        finally:
            self._clear_cached_op()


def get_model(
    name: str,
    activation: str = "prelu",
    *,
    prefix: str | None = None,
    fast: bool | None = None,
    **config,
) -> DeepRect:
    """Build a network of the paper; its parameters are not initialised.

    Parameters
    ----------
    name : str
        One of `model_names()`.
    activation : {"prelu", "prelu_shared", "relu"}
    prefix : str, optional
        See `DeepRect`.
    fast : bool, optional
        See `ConvPReLU`; not part of the configuration.
    **config
        The other fields of `Config`: classes, in_channels, input_size, dropout, stem,
        width, hidden, pyramid.

    Returns
    -------
    DeepRect

    Raises
    ------
    ValueError
        See `Config`.

    Examples
    --------
    >>> net = get_model("deeprect_a", activation="prelu", classes=10, input_size=32, pyramid=(2, 1))
    >>> net.initialize(MSRA(rectifier_slopes(net), seed=1))
    """
    return DeepRect(Config(name, activation, **config), prefix, fast)
