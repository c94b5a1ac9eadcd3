"""Score every window of the last map of images."""

from __future__ import annotations

from typing import Iterator

import mxnet as mx
import numpy as np

from ..errors import require, whole
from ..models import Config, DeepRect
from ..nn import SpatialPyramidPooling
from . import tiling


def _tiles(rows: int, columns: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Cut a grid into tiles of at most `most` cells."""
    width = min(columns, most)
    height = max(1, most // width)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, min(top + height, rows)), slice(left, min(left + width, columns))


def dense_probabilities(
    net: DeepRect, x: mx.nd.NDArray, max_windows: int = 64, tile: int = 64
) -> np.ndarray:
    """Score every window of the last map of a batch of images.

    Parameters
    ----------
    net : DeepRect
    x : NDArray, shape (N, C, H, W)
        Images at least as large as the net's input.
    max_windows : int
        Windows of an image that the fully-connected layers compute together.
    tile : int
        Height and width of the part of the last map that the convolutions compute together.

    Returns
    -------
    ndarray of float32, shape (N, rows, columns, classes)
        Probabilities. Windows are as large as the last map of the net's input, 14x14 for A, B and C
        at 224 pixels; the distance between them is 1.
    """
    require("net", net, DeepRect)
    require("x", x, mx.nd.NDArray)
    whole("max_windows", max_windows, 1)
    whole("tile", tile, 1)
    least = net.config["input_size"]
    if x.ndim != 4 or min(x.shape[2:]) < least:
        raise ValueError(
            f"x has shape {x.shape}; it must be (N, C, H, W) of {least} pixels or more"
        )
    layers = list(net.features._children.values())
    position = [isinstance(layer, SpatialPyramidPooling) for layer in layers].index(True)
    pyramid = layers[position]
    trunk = [
        tiling.Layer(block, layer.kernel, layer.stride, getattr(layer, "pads", (0,))[0])
        for block, layer in zip(layers[:position], Config(**net.config).layers)
    ]
    x = tiling.run_in_tiles(trunk, x, tile)
    # A window's bin is a maximum over a square of the map, and windows share these squares. For
    # each level all maxima are computed once; a window takes n x n of them, `stride` apart.
    levels = pyramid.windows()
    maxima = [mx.nd.Pooling(x, kernel=(w, w), pool_type="max") for _, w, _ in levels]
    images, rows, columns = len(x), *(side - pyramid.map_size + 1 for side in x.shape[2:])
    result = np.empty((images, rows, columns, net.config["classes"]), np.float32)
    for i, j in _tiles(rows, columns, max_windows):
        bins = []
        for (n, _, stride), level in zip(levels, maxima):
            reach = (n - 1) * stride
            part = level[:, :, i.start : i.stop + reach, j.start : j.stop + reach]
            picked = mx.nd.im2col(part, kernel=(n, n), dilate=(stride, stride))
            bins.append(picked.transpose((0, 2, 1)).reshape((-3, 0)))
        y = mx.nd.concat(*bins, dim=1)
        for layer in [*layers[position + 1 :], net.output]:
            y = layer(y)
        shape = (images, i.stop - i.start, j.stop - j.start, -1)
        result[:, i, j] = y.softmax().asnumpy().reshape(shape)
    return result
