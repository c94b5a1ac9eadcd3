"""Draw batches from a data set in memory: shuffle, augment and divide them among workers."""

from __future__ import annotations

from typing import Callable, Iterator

import mxnet as mx
import numpy as np

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Batches:
    """Batches of images and labels; their content depends on (seed, epoch, step) only.

    Every worker draws the same global batch and keeps its own part of it. So N workers together get
    the images that one worker would.

    Parameters
    ----------
    images : ndarray of float32, shape (N, C, H, W)
    labels : ndarray of int32, shape (N,)
    batch_size : int
        Images in a step, over all workers.
    shuffle : bool
        Draw a new order in each epoch and leave out the incomplete last batch, as training does.
        Otherwise every image comes exactly once, in order.
    seed : int
    augment : callable, optional
        `augment(images, rng)` returns the images changed at random, in the same shape.
    rank, size : int
        This worker's place among the workers.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augment | None = None,
        rank: int = 0,
        size: int = 1,
    ):
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images and {len(labels)} labels; give one for each")
        if shuffle and not 0 < batch_size <= len(images):
            raise ValueError(
                f"batch_size={batch_size} with {len(images)} images; give 1 to {len(images)}"
            )
        if shuffle and batch_size < size:
            raise ValueError(f"batch_size={batch_size} leaves some of {size} workers without any")
        self.images, self.labels = images, labels
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.augment, self.rank, self.size = augment, rank, size

    def __len__(self) -> int:
        """Return the number of steps in an epoch."""
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 0 and not self.shuffle)

    def epoch(
        self, epoch: int = 0, start: int = 0
    ) -> Iterator[tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        """Yield this worker's (images, labels) of each step from `start` on.

        A last part, of which a worker may have nothing, is left out.
        """
        order = np.arange(len(self.images))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        for step in range(start, len(self)):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            images = self.images[chosen]
            if self.augment is not None:
                images = self.augment(images, np.random.default_rng([self.seed, epoch, step]))
            mine = np.array_split(np.arange(len(chosen)), self.size)[self.rank]
            # Zero-size arrays are not legal in MXNet's default mode.
            if len(mine):
                yield mx.nd.array(images[mine]), mx.nd.array(self.labels[chosen[mine]])


def shift_and_flip(images: np.ndarray, rng: np.random.Generator, pixels: int = 2) -> np.ndarray:
    """Shift each image by up to `pixels` in both directions and mirror half of them.

    Parameters
    ----------
    images : ndarray, shape (N, C, H, W)
    rng : numpy.random.Generator
    pixels : int
        The border that a shift uncovers repeats the image's edge.
    """
    n, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)), mode="edge")
    top, left = rng.integers(0, 2 * pixels + 1, size=(2, n))
    columns = left[:, None] + np.arange(width)
    columns = np.where(rng.random(n)[:, None] < 0.5, columns, columns[:, ::-1])
    rows = top[:, None] + np.arange(height)
    return padded[np.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].transpose(
        0, 3, 1, 2
    )
