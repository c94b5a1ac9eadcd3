"""Train a net: the loop over epochs and steps, its checkpoints, and the folder of the run."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

import mxnet as mx
from tqdm import tqdm

from ..errors import Stopped
from ..files import locked
from .checkpoint import MALFORMED, Checkpoints, DamagedCheckpointError
from .config import TrainConfig
from .distributed import Workers
from .history import History, Row, Run
from .learner import Learner, start_amp
from .metrics import Dataset, Measure, evaluate
from .report import compare_curves

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Task:
    """A net and this worker's part of the data that it is trained on.

    Parameters
    ----------
    net : HybridBlock
    batches, validation : Dataset
        The validation set is measured at the end of each epoch, if there is one.
    title : str
        Of the figure of the curves.
    description : dict
        What config.json says of data and first weights, as JSON values: `dataset`, `init`, `fan`
        and more. A training continues only with the same description (but for `data.folder`).
    """

    net: mx.gluon.HybridBlock
    batches: Dataset
    validation: Dataset | None = None
    title: str = ""
    description: dict = field(default_factory=dict)


def train(
    task: Task, config: TrainConfig, folder: Path, workers: Workers, resume: bool = False
) -> History:
    """Train an initialised net; the first worker fills the run's folder (see `Run`).

    Parameters
    ----------
    task : Task
        Its net is initialised, on the device of the workers' `context`.
    config : TrainConfig
        With `checkpoint_every`, checkpoints go into the run's folder.
    folder : Path
    workers : Workers
    resume : bool
        Continue from the newest checkpoint in the folder, if there is one.

    Returns
    -------
    History

    Raises
    ------
    FileExistsError
        If the folder has checkpoints and `resume` is not asked for.
    BlockingIOError
        If another training works in the folder.
    Stopped, FloatingPointError, ValueError, OSError
        See `fit`.
    """
    if resume and not config.checkpoint_every:
        raise ValueError("to resume there must be checkpoints; give checkpoint_every, in steps")
    start_amp(config.amp, workers.context)
    run, checkpoints = Run(folder), None
    if config.checkpoint_every:
        checkpoints = Checkpoints(run.folder / CHECKPOINTS, config.keep_checkpoints)
    history = History(run.folder if workers.is_first else None)
    with contextlib.ExitStack() as held:

        def enter() -> None:
            held.enter_context(locked(run.folder))
            if checkpoints and not resume and checkpoints.found():
                raise FileExistsError(
                    f"{checkpoints.folder} holds checkpoints of an earlier training; continue it "
                    "with --resume auto, or give another folder"
                )

        def begin() -> None:
            run.save_config(task.net, config, workers=workers.size, **task.description)
            history.open()

        def end() -> None:
            run.save_weights(task.net)
            compare_curves({"": history.rows}, run.folder / "curves.png", task.title)

        workers.on_first(enter)
        held.callback(history.close)
        learner = _prepare(task, config, workers, history, checkpoints if resume else None)
        # Not before: a training that is refused leaves the folder as it was.
        workers.on_first(begin)
        _learn(learner, task, history, checkpoints)
        workers.on_first(end)
    return history


def fit(
    net: mx.gluon.HybridBlock,
    train: Dataset,
    validation: Dataset | None,
    config: TrainConfig,
    workers: Workers | None = None,
    history: History | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> History:
    """Train an initialised net in place.

    Parameters
    ----------
    net : HybridBlock
        On the device of the workers' `context`.
    train, validation : Dataset
        The validation set is measured at the end of each epoch, if there is one.
    config : TrainConfig
    workers : Workers, optional
    history : History, optional
        Filled by the first worker.
    checkpoints : Checkpoints, optional
        Written by the first worker every `config.checkpoint_every` steps, after each epoch and on
        SIGTERM to any worker.
    resume : bool
        Continue from the newest checkpoint, if there is one. The training ends with the same bits
        as one that was not interrupted.

    Returns
    -------
    History

    Raises
    ------
    FloatingPointError
        If the loss becomes NaN or infinite; the message says where.
    Stopped
        After SIGTERM, if there are checkpoints.
    ValueError
        If the checkpoint belongs to another training.
    OSError
        If a checkpoint cannot be written.
    """
    task, history = Task(net, train, validation), history or History()
    old = checkpoints if resume else None
    learner = _prepare(task, config, workers or Workers(), history, old)
    _learn(learner, task, history, checkpoints)
    return history


def _prepare(
    task: Task, config: TrainConfig, workers: Workers, history: History, old: Checkpoints | None
) -> Learner:
    """Return the learner at the first step, or where the newest of old checkpoints has it."""
    task.net.hybridize(static_alloc=True, static_shape=True)
    _complete(task.net, task.batches, workers.context)
    learner = Learner(task.net, config, workers, len(task.batches), task.description)
    if old is not None:
        _resume(learner, old, history)
    return learner


def _learn(learner: Learner, task: Task, history: History, checkpoints: Checkpoints | None) -> None:
    """Do all steps that are left."""
    workers, config, train = learner.workers, learner.config, task.batches
    last_step = config.last_step(len(train))
    with _watch_for_sigterm(checkpoints is not None) as sigterm, tqdm(
        total=last_step, initial=learner.step, unit="step", disable=not workers.is_first
    ) as progress:
        begun = time.perf_counter()
        while learner.step < last_step and not learner.schedule.finished:
            epoch, start = divmod(learner.step, len(train))
            epoch_done = False
            for images, labels in train.epoch(epoch, start):
                learner.learn(images, labels)
                step = learner.step
                epoch_done = step % len(train) == 0 or step == last_step
                if epoch_done or step % config.report_every == 0:
                    row = _report(learner, task.validation if epoch_done else None, begun)
                    if workers.is_first:
                        history.add(row)
                    progress.update(step - progress.n)
                    speed = f"{row.images_per_second:.0f}"
                    progress.set_postfix(loss=f"{row.train_loss:.4f}", lr=row.lr, img_s=speed)
                    begun = time.perf_counter()
                if checkpoints is None and epoch_done:
                    _require_finite(learner)
                if checkpoints is not None:
                    stop = workers.any(bool(sigterm))
                    if stop or epoch_done or step % config.checkpoint_every == 0:
                        _save(learner, checkpoints, history)
                    if stop:
                        raise Stopped(
                            f"stopped by SIGTERM after step {step} of {last_step}; continue with "
                            "--resume auto"
                        )
                if step == last_step:
                    break
            if not epoch_done:
                raise RuntimeError(
                    f"the data of epoch {epoch} ended after {learner.step % len(train)} of "
                    f"{len(train)} steps"
                )


@contextlib.contextmanager
def _watch_for_sigterm(wanted: bool) -> Iterator[list[int]]:
    """Yield a list that has values when the process was asked to stop."""
    received: list[int] = []
    previous = None
    if wanted:
        previous = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        if wanted:
            signal.signal(signal.SIGTERM, previous)


def _complete(net: mx.gluon.HybridBlock, train: Dataset, context: mx.Context) -> None:
    """Give deferred parameters their shapes, so that the workers can agree on them."""
    if any(0 in parameter.shape for parameter in net.collect_params().values()):
        images, _ = next(iter(train.epoch()))
        net(images.as_in_context(context))


def _report(learner: Learner, validation: Dataset | None, begun: float) -> Row:
    """Sum up the steps since the last row, and measure the net at the end of an epoch."""
    done = learner.totals.take()
    speed = done.images / (time.perf_counter() - begun)
    _check(learner, f"loss became {done.loss}", math.isfinite(done.loss))
    measured: Measure | None = None
    if validation is not None:
        measured = Measure(**evaluate(learner.net, validation, learner.workers))
        finite = math.isfinite(measured.loss)
        _check(learner, f"validation loss became {measured.loss}", finite)
        learner.validated(measured.top1_error)
    return Row(
        learner.step,
        learner.step / learner.steps_per_epoch,
        learner.lr,
        done.loss,
        done.top1_error,
        speed,
        *(measured[:3] if measured else ()),
    )


def _check(learner: Learner, problem: str, finite: bool) -> None:
    if finite:
        return
    step, every = learner.step, learner.config.report_every
    raise FloatingPointError(
        f"the {problem} between steps {(step - 1) // every * every} and {step} "
        f"(epoch {(step - 1) // learner.steps_per_epoch}, learning rate {learner.lr}); lower the "
        "learning rate"
    )


def _require_finite(learner: Learner) -> None:
    _check(learner, "weights or their momentum became NaN or infinite", learner.is_finite())


def _save(learner: Learner, checkpoints: Checkpoints, history: History) -> None:
    state = learner.state()
    losses = [loss for loss, *_ in state["pending"]]
    _check(learner, f"loss became {sum(losses)}", math.isfinite(sum(losses)))
    _require_finite(learner)

    def write() -> None:
        history.sync()
        state["rows"] = len(history.rows)
        best = learner.best["step"] if learner.best else None
        checkpoints.save(learner.step, learner.arrays(), state, best)

    learner.workers.on_first(write)


def _resume(learner: Learner, checkpoints: Checkpoints, history: History) -> None:
    arrays = None

    def find() -> tuple[Path, dict, dict] | None:
        nonlocal arrays
        found = checkpoints.latest()
        if found is None:
            return None
        path, arrays, state = found
        return path, {name: array.shape for name, array in arrays.items()}, state

    found = learner.workers.on_first(find)
    if found is None:
        return
    path, shapes, state = found
    try:
        learner.restore(arrays, shapes, state)
        learner.workers.on_first(lambda: history.resume(state["rows"]))
    except ValueError as error:
        raise ValueError(f"{path} cannot be continued: {error}") from error
    except MALFORMED as error:
        raise DamagedCheckpointError(f"{path} has no state of a training ({error!r})") from error
