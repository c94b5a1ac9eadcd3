"""The training loop, and the measure of a net on a dataset."""

from __future__ import annotations

import math
import time

import mxnet as mx
import numpy as np
from tqdm import tqdm

from ..data import Batches
from .config import TrainConfig
from .distributed import Workers
from .history import History, Row


def _count(output: mx.nd.NDArray, labels: mx.nd.NDArray, loss: mx.nd.NDArray) -> mx.nd.NDArray:
    """Return (sum of losses, wrong answers, images) without waiting for them."""
    wrong = (output.argmax(axis=1) != labels).sum()
    return mx.nd.concat(loss.sum(), wrong, mx.nd.full((1,), len(labels)), dim=0)


class _Totals:
    """Sums over batches, held by the engine until they are asked for."""

    def __init__(self, workers: Workers | None):
        self._workers = workers
        self._counts: list[mx.nd.NDArray] = []

    def add(self, *arrays: mx.nd.NDArray) -> None:
        self._counts.append(_count(*arrays))

    def take(self) -> tuple[float, float, int]:
        """Return mean loss, error and images over all workers, and start anew."""
        counts = np.sum([c.asnumpy() for c in self._counts] or [np.zeros(3)], 0, np.float64)
        if self._workers is not None:
            counts = self._workers.sum(counts)
        loss, wrong, images = counts
        self._counts = []
        return loss / images, wrong / images, int(images)


def evaluate(net: mx.gluon.Block, batches: Batches, workers: Workers | None = None) -> dict:
    """Measure a net on every image of a dataset exactly once.

    Parameters
    ----------
    net : Block
        Gives a score for each class.
    batches : Batches
        Not shuffled; this worker's part of the dataset.
    workers : Workers, optional
        Over whom the counts are summed; without them this process has all the images.

    Returns
    -------
    dict
        loss (mean cross-entropy, nats), top1_error (a fraction), images.
    """
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    totals = _Totals(workers)
    for images, labels in batches.epoch():
        output = net(images)
        totals.add(output, labels, criterion(output, labels))
    loss, error, count = totals.take()
    return {"loss": loss, "top1_error": error, "images": count}


def fit(
    net: mx.gluon.HybridBlock,
    train: Batches,
    validation: Batches | None,
    config: TrainConfig,
    workers: Workers | None = None,
    history: History | None = None,
) -> History:
    """Train an initialised net in place.

    Parameters
    ----------
    net : HybridBlock
    train, validation : Batches
        The validation set is measured at the end of each epoch, if there is one.
    config : TrainConfig
    workers : Workers, optional
    history : History, optional
        Filled by the first worker.

    Returns
    -------
    History

    Raises
    ------
    FloatingPointError
        If the loss becomes NaN or infinite; the message says where.
    """
    workers = workers or Workers()
    history = history or History()
    mx.random.seed(config.seed + workers.rank)
    net.hybridize(static_alloc=True, static_shape=True)
    for images, _ in train.epoch():
        net(images)  # completes deferred initialisation, so that the workers can agree
        break
    trainer = workers.trainer(
        net, {"momentum": config.momentum, "wd": config.weight_decay, "learning_rate": config.lr}
    )
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    totals = _Totals(workers)
    step, last_step = 0, config.epochs * len(train)
    if config.max_steps:
        last_step = min(last_step, config.max_steps)

    with tqdm(total=last_step, unit="step", disable=not workers.is_first) as progress:
        for epoch in range(config.epochs):
            lr = config.lr_at(epoch)
            trainer.set_learning_rate(lr)
            begun = time.perf_counter()
            for images, labels in train.epoch(epoch):
                with mx.autograd.record():
                    output = net(images)
                    loss = criterion(output, labels)
                loss.backward()
                trainer.step(len(images))
                totals.add(output, labels, loss)
                step += 1

                epoch_done = step % len(train) == 0 or step == last_step
                if not epoch_done and step % config.report_every:
                    continue
                train_loss, train_error, count = totals.take()
                if not math.isfinite(train_loss):
                    raise FloatingPointError(
                        f"the loss became {train_loss} between steps {step - config.report_every} "
                        f"and {step} (epoch {epoch}, learning rate {lr}); lower the learning rate"
                    )
                speed = count / (time.perf_counter() - begun)
                measured = {}
                if epoch_done and validation is not None:
                    result = evaluate(net, validation, workers)
                    measured = {"val_loss": result["loss"], "val_error": result["top1_error"]}
                if workers.is_first:
                    history.add(
                        Row(step, step / len(train), lr, train_loss, train_error, speed, **measured)
                    )
                progress.update(step - progress.n)
                progress.set_postfix(loss=f"{train_loss:.4f}", lr=lr, img_s=f"{speed:.0f}")
                begun = time.perf_counter()
                if step == last_step:
                    return history
    return history
