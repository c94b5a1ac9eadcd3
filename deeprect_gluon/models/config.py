"""Describe a network: a published architecture and the choices left to the user."""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass
from numbers import Real
from typing import Any, Mapping, Sequence

from ..errors import suggest
from .architectures import ARCHITECTURES, HALVE, Architecture, Conv, MaxPool

ACTIVATIONS = ("prelu", "prelu_shared", "relu")


def model_names() -> list[str]:
    """Return the names that `get_model` knows."""
    return list(ARCHITECTURES)


def _choose(value: str, known: Sequence[str], what: str) -> str:
    """Return `value` in lower case if it is one of the known names."""
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError(f"unknown {what} {value!r}; {suggest(str(value).lower(), known)}")
    return value.lower()


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number; Python counts True as 1."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, what: str) -> int:
    if not _is_number(value) or int(value) != value or value < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, got {value!r}")
    return int(value)


def _wholes(values: Any, field: str, what: str) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)):
        raise ValueError(f"{field} must be a sequence of numbers such as (2, 1), got {values!r}")
    return tuple(_whole(n, what) for n in values)


@dataclass
class Config:
    """All that determines a network, in values that JSON can hold.

    Parameters
    ----------
    name : str
        An architecture, one of `model_names()`.
    activation : str
        "prelu" (a slope for each channel), "prelu_shared" (one for each layer) or "relu".
    classes, in_channels : int
        Outputs of the last layer and channels of the image.
    input_size : int
        Height and width of the image in pixels.
    dropout : float
        Probability of dropping a unit of a hidden fully-connected layer.
    stem : str
        "imagenet", the published first layers, or, for the small nets, "small_image": 7x7 with
        stride 1 and a 2x2 pooling, for images of about 28 to 32 pixels.
    width : float
        Factor on the number of filters of every convolution.
    hidden : sequence of int
        Units of the hidden fully-connected layers.
    pyramid : sequence of int, optional
        Levels of the spatial pyramid pooling; by default the published ones.
    architectures : mapping of str to Architecture, optional
        Where `name` is looked up; by default the published ones. Not part of the configuration.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range, or the image too small for the architecture;
        the message names the smallest input size.
    """

    name: str
    activation: str = "prelu"
    classes: int = 1000
    in_channels: int = 3
    input_size: int = 224
    dropout: float = 0.5
    stem: str = "imagenet"
    width: float = 1.0
    hidden: tuple[int, ...] = (4096, 4096)
    pyramid: tuple[int, ...] = ()
    architectures: InitVar[Mapping[str, Architecture]] = ARCHITECTURES

    def __post_init__(self, architectures: Mapping[str, Architecture]) -> None:
        self.name = _choose(self.name, list(architectures), "model")
        self.activation = _choose(self.activation, ACTIVATIONS, "activation")
        architecture = self._architecture = architectures[self.name]
        self.stem = _choose(self.stem, list(architecture.stems), f"stem for {self.name}")
        for field in ("classes", "in_channels", "input_size"):
            setattr(self, field, _whole(getattr(self, field), field))
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {self.dropout!r}")
        if not _is_number(self.width) or not self.width > 0:
            raise ValueError(f"width must be positive, got {self.width!r}")
        self.hidden = _wholes(self.hidden, "hidden", "a hidden layer's size")
        pyramid = () if self.pyramid is None else self.pyramid
        self.pyramid = _wholes(pyramid, "pyramid", "a pyramid level") or architecture.pyramid
        if self.map_size() < max(self.pyramid):
            raise ValueError(
                f"input_size={self.input_size} is too small for {self.name} with the pyramid "
                f"{self.pyramid}: the smallest is {self.smallest_input()}"
                " (fewer pyramid levels admit smaller images)"
            )

    @property
    def layers(self) -> list[Conv | MaxPool]:
        """The convolutions, one by one and scaled by `width`, and the poolings between them."""
        architecture = self._architecture
        published: list[Conv | MaxPool] = list(architecture.stems[self.stem])
        for stage in architecture.stages:
            published += [stage, HALVE]
        layers: list[Conv | MaxPool] = []
        for layer in published[:-1]:  # the pyramid takes the place of the last pooling
            if isinstance(layer, MaxPool):
                layers.append(layer)
                continue
            filters = max(1, round(layer.filters * self.width))
            for i in range(layer.times):
                pad = layer.pads[i % len(layer.pads)]
                layers.append(Conv(layer.kernel, filters, stride=layer.stride, pads=(pad,)))
        return layers

    def map_size(self, input_size: int | None = None) -> int:
        """Return the size of the last map for an image of `input_size` pixels; 0 if it is empty."""
        size = input_size or self.input_size
        for layer in self.layers:
            pad = layer.pads[0] if isinstance(layer, Conv) else 0
            size = (size + 2 * pad - layer.kernel) // layer.stride + 1
            if size < 1:
                return 0
        return size

    def smallest_input(self) -> int:
        """Return the smallest input size whose last map holds the largest pyramid level."""
        size = max(self.pyramid)
        for layer in reversed(self.layers):
            pad = layer.pads[0] if isinstance(layer, Conv) else 0
            size = max(1, (size - 1) * layer.stride + layer.kernel - 2 * pad)
        return size
