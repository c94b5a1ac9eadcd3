"""Draw batches from a data set in memory: shuffle, augment and divide them among workers."""

from __future__ import annotations

from typing import Callable, Iterator

import mxnet as mx
import numpy as np

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Order:
    """The order of a data set's images, and their division into steps and among workers.

    It depends on (seed, epoch) only. All workers draw the same batches, and each keeps its own part
    of them.

    Parameters
    ----------
    images : int
        Number of images.
    batch_size : int
        Images in a step, over all workers.
    shuffle : bool
        Draw a new order in each epoch and leave out the incomplete last batch, as training does.
        Otherwise every image comes exactly once, in order.
    seed : int
    rank, size : int
        This worker's place among the workers.

    Raises
    ------
    ValueError
        If the batch size does not fit the images or the workers.
    """

    def __init__(
        self, images: int, batch_size: int, shuffle: bool, seed: int, rank: int, size: int
    ):
        if batch_size < 1 or (shuffle and batch_size > images):
            most = f"to {images}" if shuffle else "or more"
            raise ValueError(f"batch_size={batch_size} with {images} images; give 1 {most}")
        if shuffle and batch_size < size:
            raise ValueError(f"batch_size={batch_size} leaves some of {size} workers without any")
        self._images, self._batch_size = images, batch_size
        self._shuffle, self._seed, self._rank, self._size = shuffle, seed, rank, size

    def __len__(self) -> int:
        """Return the number of steps in an epoch."""
        whole, rest = divmod(self._images, self._batch_size)
        return whole + (rest > 0 and not self._shuffle)

    def epoch(self, epoch: int, start: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (step, images of the batch, positions of this worker's among them) from `start` on.

        A step of which this worker has no image is left out: MXNet has no arrays without values.
        """
        order = np.arange(self._images)
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(order)
        for step in range(start, len(self)):
            batch = order[step * self._batch_size : (step + 1) * self._batch_size]
            mine = np.array_split(np.arange(len(batch)), self._size)[self._rank]
            if len(mine):
                yield step, batch, mine


class Batches:
    """Batches of images and labels; their content depends on (seed, epoch, step) only.

    N workers together get the images that one worker would.

    Parameters
    ----------
    images : ndarray of float32, shape (N, C, H, W)
    labels : ndarray of int32, shape (N,)
    batch_size, shuffle, seed, rank, size
        See `Order`.
    augment : callable, optional
        `augment(images, rng)` returns the images changed at random, in the same shape.

    Raises
    ------
    ValueError
        If there is not one label for each image, or as `Order`.
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
        self.images, self.labels, self.augment, self.seed = images, labels, augment, seed
        self._order = Order(len(images), batch_size, shuffle, seed, rank, size)

    def __len__(self) -> int:
        """Return the number of steps in an epoch."""
        return len(self._order)

    def epoch(
        self, epoch: int = 0, start: int = 0
    ) -> Iterator[tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        """Yield this worker's (images, labels) of each step from `start` on.

        A step of which this worker has no image is left out.
        """
        for step, batch, mine in self._order.epoch(epoch, start):
            images = self.images[batch]
            if self.augment is not None:
                images = self.augment(images, np.random.default_rng([self.seed, epoch, step]))
            yield mx.nd.array(images[mine]), mx.nd.array(self.labels[batch[mine]])


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
