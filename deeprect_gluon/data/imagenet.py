"""Draw batches of ImageNet's images, or others in that form, from RecordIO shards.

docs/imagenet.md says why MXNet's own `ImageRecordIter` cannot do this as the paper trains.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, Sequence

import cv2
import mxnet as mx
import numpy as np

from ..images import center_crop, normalised, resize_shorter
from ..native import default_threads
from .augment import draw, render
from .batches import Order
from .imagenet_facts import MEAN, STD
from .records import Shards

DATASET = "imagenet"

# Batches in preparation while one is used.
AHEAD = 2


def decode(content: bytes) -> np.ndarray:
    """Return the pixels of an encoded image, uint8 (H, W, 3), upright.

    Raises
    ------
    ValueError
        If it is no image.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("not an image that OpenCV decodes")
    return image


def data_folder(given: Path | str | None = None) -> Path:
    """Return the folder of shards: the given one, or `$DEEPRECT_DATA/imagenet`.

    Raises
    ------
    FileNotFoundError
        If neither is given.
    """
    if given is None and "DEEPRECT_DATA" not in os.environ:
        raise FileNotFoundError(
            "no folder of ImageNet's shards is given; name one with --data, or the folder that "
            "holds 'imagenet' in DEEPRECT_DATA"
        )
    return Path(given or Path(os.environ["DEEPRECT_DATA"]) / "imagenet")


class ImageRecords:
    """Batches of images from RecordIO shards; their content depends on (seed, epoch, step) only.

    As with `Batches`, N workers together get the batches that one would. The order of the images is
    drawn from (seed, epoch) and the view of an image from (seed, epoch, image). So the number of
    threads, the number of workers and the first step of an epoch change no bit.

    Parameters
    ----------
    folder : Path
        Made by scripts/prepare_imagenet.py.
    split : str
        "train" or "val".
    batch_size : int
        Images in a step, over all workers.
    train : bool
        Shuffle and augment as the paper (section 3), and leave out the incomplete last batch.
        Otherwise every image comes exactly once, in order: its central crop, the shorter side
        resized in the paper's ratio of 256 to 224, with the bits of `net.preprocess`.
    input_size : int
        Height and width of the crops, in pixels.
    sides : (int, int)
        Range of the shorter side when training, in pixels.
    colour : float
        Strength of the shift of colours when training (see `augment.draw`).
    mean, std : sequence of float
        Of each channel, on a scale of 0 to 1.
    seed : int
    rank, size : int
        This worker's place among the workers.
    threads : int, optional
        Threads that decode and augment while earlier batches are used; by default this worker's
        share of the cores. At most three batches are in memory.

    Attributes
    ----------
    classes : tuple of str
        Names, in the order of the labels.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder does not hold the whole split (see `Shards`), or an argument does not fit.
    """

    def __init__(
        self,
        folder: Path | str,
        split: str,
        batch_size: int,
        *,
        train: bool,
        input_size: int = 224,
        sides: tuple[int, int] = (256, 512),
        colour: float = 0.1,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        seed: int = 0,
        rank: int = 0,
        size: int = 1,
        threads: int | None = None,
    ):
        self.shards = Shards(folder, split)
        threads = default_threads() if threads is None else threads
        self._order = Order(len(self.shards), batch_size, train, seed, rank, size)
        if train and not input_size <= sides[0] <= sides[1]:
            raise ValueError(
                f"sides={sides} must be a range of lengths with room for a crop of "
                f"input_size={input_size} pixels"
            )
        if threads < 1:
            raise ValueError(f"threads={threads} must be at least 1")
        self.train, self.seed, self.threads = train, seed, threads
        self.input_size, self.sides, self.colour = input_size, sides, colour
        self.mean, self.std = mean, std

    @property
    def classes(self) -> tuple[str, ...]:
        return self.shards.classes

    def __len__(self) -> int:
        """Return the number of steps in an epoch."""
        return len(self._order)

    def epoch(
        self, epoch: int = 0, start: int = 0
    ) -> Iterator[tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        """Yield this worker's (images, labels) of each step from `start` on.

        Images are float32 (n, 3, input_size, input_size). Steps before `start` cost nothing. A step
        of which this worker has no image is left out.

        Raises
        ------
        ValueError
            If an image cannot be read or decoded; the message names it.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start={start} is not a step of an epoch of {len(self)}")
        return self._epoch(epoch, start)

    def _epoch(self, epoch: int, start: int) -> Iterator[tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="images")
        pending: deque[tuple[np.ndarray, list[Future]]] = deque()
        parts = (batch[mine] for _, batch, mine in self._order.epoch(epoch, start))
        try:
            while True:
                for part in parts:
                    pending.append(self._begin(pool, epoch, part))
                    if len(pending) > AHEAD:
                        break
                if not pending:
                    return
                images, labels = pending[0]
                labels = mx.nd.array([label.result() for label in labels])
                pending.popleft()
                yield mx.nd.from_numpy(images), labels
                del images
        finally:
            for _, labels in pending:
                for label in labels:
                    label.cancel()
            pool.shutdown()

    def _rng(self, epoch: int, i: int) -> np.random.Generator:
        """Return the generator for the view of image number `i`."""
        # One more than i: with a final 0 it would be the generator of the order.
        return np.random.default_rng([self.seed, epoch, i + 1])

    def _begin(
        self, pool: ThreadPoolExecutor, epoch: int, part: np.ndarray
    ) -> tuple[np.ndarray, list[Future]]:
        images = np.empty((len(part), 3, self.input_size, self.input_size), np.float32)
        labels = [pool.submit(self._load, epoch, int(i), out) for i, out in zip(part, images)]
        return images, labels

    def _load(self, epoch: int, i: int, out: np.ndarray) -> int:
        """Write image number `i` as the input of a net, and return its label."""
        content, label = self.shards.read(i)
        try:
            image = decode(content)
        except ValueError as error:
            raise ValueError(f"{self.shards.describe(i)} is {error}") from error
        if self.train:
            view = draw(image.shape, self.input_size, self.sides, self.colour, self._rng(epoch, i))
            render(image, view, self.mean, self.std, out)
        else:
            resized = resize_shorter(image, round(self.input_size * 256 / 224))
            crop = center_crop(resized, self.input_size)
            out[:] = normalised(crop[None], self.mean, self.std)[0]
        return label
