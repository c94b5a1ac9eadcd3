"""Run convolutions and poolings on an image of any size, a tile at a time.

Each tile of the last map is computed from the part of the image that it depends on. The values are
those of the whole image at once; the memory is that of a tile.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import mxnet as mx


class Layer(NamedTuple):
    """A convolution or pooling of square windows: a function of (N, C, H, W) and its geometry."""

    run: Callable[[mx.nd.NDArray], mx.nd.NDArray]
    kernel: int
    stride: int
    pad: int


class _Span(NamedTuple):
    """What a layer computes along one axis for a tile."""

    start: int  # the part of its input that it takes
    stop: int
    skip: int  # its outputs before the first one that is needed
    needed: int  # the number of outputs that are needed


def _lengths(layers: Sequence[Layer], length: int) -> list[int]:
    """Return the length of an axis before each layer and after the last."""
    lengths = [length]
    for layer in layers:
        lengths.append((lengths[-1] + 2 * layer.pad - layer.kernel) // layer.stride + 1)
    return lengths


def _spans(layers: Sequence[Layer], lengths: Sequence[int], start: int, stop: int) -> list[_Span]:
    """Return what each layer does for the outputs `start` to `stop` of the last one."""
    spans = []
    for layer, length in zip(reversed(layers), reversed(lengths[:-1])):
        # A layer pads the part that it gets. At the border of the image that is right; elsewhere it
        # makes wrong only outputs that are not needed. A start that is a multiple of the stride
        # keeps the positions of the windows.
        first = max(0, start * layer.stride - layer.pad) // layer.stride * layer.stride
        last = min(length, (stop - 1) * layer.stride - layer.pad + layer.kernel)
        spans.append(_Span(first, last, start - first // layer.stride, stop - start))
        start, stop = first, last
    return spans[::-1]


def run_in_tiles(layers: Sequence[Layer], x: mx.nd.NDArray, tile: int) -> mx.nd.NDArray:
    """Run layers one after the other on images, in tiles of the last map.

    Parameters
    ----------
    layers : sequence of Layer
    x : NDArray, shape (N, C, H, W)
        Large enough for every layer.
    tile : int
        Height and width of a tile, in cells of the last map.

    Returns
    -------
    NDArray
        The result of the layers for the whole of x, except for rounding.
    """
    heights, widths = (_lengths(layers, length) for length in x.shape[2:])
    rows = []
    for top in range(0, heights[-1], tile):
        row = []
        down = _spans(layers, heights, top, min(top + tile, heights[-1]))
        for left in range(0, widths[-1], tile):
            across = _spans(layers, widths, left, min(left + tile, widths[-1]))
            y = x[:, :, down[0].start : down[0].stop, across[0].start : across[0].stop]
            for layer, i, j in zip(layers, down, across):
                y = layer.run(y)[:, :, i.skip : i.skip + i.needed, j.skip : j.skip + j.needed]
            row.append(y)
        rows.append(mx.nd.concat(*row, dim=3))
    return mx.nd.concat(*rows, dim=2)
