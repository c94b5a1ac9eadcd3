"""From an image to what a net takes."""

from __future__ import annotations

from dataclasses import dataclass

import mxnet as mx
import numpy as np

from deeprect_gluon.images import normalise, pad


@dataclass(frozen=True)
class Preprocess:
    """Turns images into a net's input: `net(net.preprocess(images))`.

    An image smaller than the net's input gets a border of black; then every channel is put on a
    scale of 0 to 1 and normalised.

    Parameters
    ----------
    size : int
        Height and width of the input, in pixels.
    mean, std : sequence of float
        Of each channel, on a scale of 0 to 1.
    """

    size: int
    mean: tuple
    std: tuple

    def __call__(self, images: np.ndarray) -> mx.nd.NDArray:
        """Prepare one image or a batch.

        Parameters
        ----------
        images : ndarray of uint8, shape (H, W, C) or (N, H, W, C)
            Up to `size` pixels in height and width.

        Returns
        -------
        NDArray of float32, shape (N, C, size, size)
            N is 1 for one image.

        Raises
        ------
        TypeError
            If the images are not uint8.
        ValueError
            If the shape does not fit; the message names it.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise TypeError(f"images are {images.dtype}; give uint8, 0 to 255")
        channels = len(self.mean)
        if images.ndim not in (3, 4) or images.shape[-1] != channels:
            raise ValueError(
                f"images have shape {images.shape}; give (H, W, {channels}) or a batch of such"
            )
        images = images.reshape(-1, *images.shape[-3:])
        return normalise(pad(images, self.size), self.mean, self.std)
