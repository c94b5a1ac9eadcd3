"""The published architectures, as in the paper's Tables 1 and 3.

Map sizes in the comments are those of an image of 224 pixels. An activation follows every
convolution; after the pyramid pooling come the fully-connected layers.
"""

from __future__ import annotations

from typing import NamedTuple


class Conv(NamedTuple):
    """`times` convolutions of `filters` square filters; `pads` are used in turn."""

    kernel: int
    filters: int
    times: int = 1
    stride: int = 1
    pads: tuple[int, ...] = (0,)


class MaxPool(NamedTuple):
    """A max pooling of square windows without padding."""

    kernel: int
    stride: int


class Architecture(NamedTuple):
    """A network of the paper's tables.

    Attributes
    ----------
    stems : dict of str to (Conv, MaxPool)
        The alternatives for the first layers, by name.
    stages : tuple of Conv
        There is a 2x2 max pooling with stride 2 between two stages.
    pyramid : tuple of int
        Levels of the spatial pyramid pooling after the last stage.
    multiply_adds : float or None
        The complexity that Table 3 states.
    """

    stems: dict[str, tuple[Conv, MaxPool]]
    stages: tuple[Conv, ...]
    pyramid: tuple[int, ...]
    multiply_adds: float | None = None


def conv2x2(filters: int, times: int) -> Conv:
    # The paper does not state the padding of its even filters: 0 and 1 in turn keep the size of
    # the map over every pair of layers.
    return Conv(2, filters, times, pads=(0, 1))


def conv3x3(filters: int, times: int) -> Conv:
    return Conv(3, filters, times, pads=(1,))


HALVE = MaxPool(2, 2)

# Table 1. The map sizes that the paper gives follow from a first layer without padding.
SMALL_STEMS = {
    "imagenet": (Conv(7, 64, stride=2), MaxPool(3, 3)),
    # Ours, for images of about 28 to 32 pixels.
    "small_image": (Conv(7, 64, pads=(3,)), HALVE),
}

# Table 3.
VGG_STEM = {"imagenet": (conv3x3(64, 2), HALVE)}
LARGE_STEM = {"imagenet": (Conv(7, 96, stride=2, pads=(3,)), HALVE)}

ARCHITECTURES = {
    # Map of 36, 18.
    "deeprect_small14": Architecture(
        SMALL_STEMS,
        (conv2x2(128, 4), conv2x2(256, 6)),
        pyramid=(6, 3, 2, 1),
    ),
    "deeprect_small30": Architecture(
        SMALL_STEMS,
        (conv2x2(128, 4), conv2x2(256, 6 + 16)),
        pyramid=(6, 3, 2, 1),
    ),
    # Map of 112, 56, 28, 14. VGG's last 2x2 pooling is, on its map of 14, a pyramid of one level.
    "vgg19": Architecture(
        VGG_STEM,
        (conv3x3(128, 2), conv3x3(256, 4), conv3x3(512, 4), conv3x3(512, 4)),
        pyramid=(7,),
        multiply_adds=1.96e10,
    ),
    # Map of 56, 28, 14.
    "deeprect_a": Architecture(
        LARGE_STEM,
        (conv3x3(256, 5), conv3x3(512, 5), conv3x3(512, 5)),
        pyramid=(7, 3, 2, 1),
        multiply_adds=1.90e10,
    ),
    "deeprect_b": Architecture(
        LARGE_STEM,
        (conv3x3(256, 6), conv3x3(512, 6), conv3x3(512, 6)),
        pyramid=(7, 3, 2, 1),
        multiply_adds=2.32e10,
    ),
    "deeprect_c": Architecture(
        LARGE_STEM,
        (conv3x3(384, 6), conv3x3(768, 6), conv3x3(896, 6)),
        pyramid=(7, 3, 2, 1),
        multiply_adds=5.30e10,
    ),
}
