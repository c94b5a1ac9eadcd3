"""Measure loss and errors of a net: running sums over batches, and a whole data set."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Protocol

import mxnet as mx
import numpy as np

from .distributed import Workers


class Dataset(Protocol):
    """This worker's part of a dataset in batches, as `data.Batches` and `data.ImageRecords`."""

    def __len__(self) -> int:
        """Return the number of steps in an epoch, the same on all workers."""
        ...

    def epoch(
        self, epoch: int = 0, start: int = 0
    ) -> Iterator[tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        """Yield (images, labels) of each step of an epoch, from step `start` on."""
        ...


class Measure(NamedTuple):
    """Mean cross-entropy (nats), errors (fractions) and the number of images."""

    loss: float
    top1_error: float
    top5_error: float
    images: int


def _count(output: mx.nd.NDArray, labels: mx.nd.NDArray, loss: mx.nd.NDArray) -> mx.nd.NDArray:
    """Return (sum of losses, top-1 errors, top-5 errors, images) without waiting for the engine."""
    # In mixed precision the scores may be float16.
    output, labels = output.astype("float32"), labels.astype("float32")
    wrong = (output.argmax(axis=1) != labels).sum()
    higher = (output > output.pick(labels, keepdims=True)).sum(axis=1)
    missed = (higher >= 5).sum()
    images = mx.nd.full((1,), len(labels), ctx=output.context)
    sums = (loss.sum(), wrong, missed)
    return mx.nd.concat(*(s.astype("float32") for s in sums), images, dim=0)


class Totals:
    """Sums over batches, which MXNet's engine computes while the training goes on.

    All workers must call every method but `add` at the same step.
    """

    def __init__(self, workers: Workers | None):
        self._workers = workers
        self._counts: list[mx.nd.NDArray | np.ndarray] = []

    def add(self, output: mx.nd.NDArray, labels: mx.nd.NDArray, loss: mx.nd.NDArray) -> None:
        """Count a batch, and wait for the one before it.

        The engine's queue has no limit: without waiting, the reader of the data would run ahead of
        the net until the images fill the memory.
        """
        if self._counts and isinstance(self._counts[-1], mx.nd.NDArray):
            self._counts[-1].wait_to_read()
        self._counts.append(_count(output, labels, loss))

    def pending(self, steps: int = 0) -> np.ndarray:
        """Return the sums over the workers since the last `take`, one row for each `add`.

        The rows are not added up, so that a training that continues from them ends with the same
        bits. A worker with fewer than `steps` batches adds rows of zeros.
        """
        rows = [c.asnumpy() if isinstance(c, mx.nd.NDArray) else c for c in self._counts]
        rows += [np.zeros(4)] * (steps - len(rows))
        values = np.array(rows, np.float64).reshape(-1, 4)
        return values if self._workers is None or not rows else self._workers.sum(values)

    def restore(self, rows: list[list[float]]) -> None:
        """Continue from what `pending` returned."""
        values = np.array(rows, np.float64).reshape(-1, 4)
        first = self._workers is None or self._workers.is_first
        self._counts = list(values if first else np.zeros_like(values))

    def take(self, steps: int = 0) -> Measure:
        """Return the measure over all workers since the last time, and start anew."""
        loss, wrong, missed, images = self.pending(steps).sum(0)
        self._counts = []
        return Measure(loss / images, wrong / images, missed / images, int(images))


def evaluate(net: mx.gluon.Block, batches: Dataset, workers: Workers | None = None) -> dict:
    """Measure a net on every image of a dataset exactly once.

    Parameters
    ----------
    net : Block
        Gives a score for each class.
    batches : Dataset
        Not shuffled; this worker's part of the dataset.
    workers : Workers, optional
        The counts are summed over them; without them this process has all the images.

    Returns
    -------
    dict
        The fields of `Measure`.
    """
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    (context,) = {p.list_ctx()[0] for p in net.collect_params().values()}
    totals = Totals(workers)
    for images, labels in batches.epoch():
        images, labels = images.as_in_context(context), labels.as_in_context(context)
        output = net(images)
        totals.add(output, labels, criterion(output, labels))
    return totals.take(len(batches))._asdict()
