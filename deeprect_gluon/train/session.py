"""A training from an initialised net to the folder of its run."""

from __future__ import annotations

from pathlib import Path

import mxnet as mx

from ..initializer import MSRA, rectifier_slopes
from ..plot import learning_curves
from . import precision
from .checkpoint import Checkpoints
from .config import TrainConfig
from .distributed import Workers
from .history import History
from .loop import fit
from .metrics import Dataset
from .run import Run

CHECKPOINTS = "checkpoints"


def initialize(
    net: mx.gluon.HybridBlock, rule: str, fan: str, seed: int, ctx: mx.Context | None = None
) -> None:
    """Draw the weights by a rule of the paper's section 2.2.

    Parameters
    ----------
    net : DeepRect
    rule : {"msra", "xavier"}
        Variance 2 / ((1 + a^2) n), Eqn. 15; or 1 / n, the linear case that the paper compares with.
    fan : {"in", "out"}
    seed : int
    ctx : Context, optional
        By default the CPU.
    """
    slopes = {"msra": rectifier_slopes(net), "xavier": 1.0}
    if rule not in slopes:
        raise ValueError(f"init={rule!r} is not known; use 'msra' or 'xavier'")
    net.initialize(MSRA(slopes[rule], fan=fan, seed=seed), ctx=ctx, force_reinit=True)


def train(
    net: mx.gluon.HybridBlock,
    batches: Dataset,
    validation: Dataset | None,
    config: TrainConfig,
    folder: Path,
    workers: Workers,
    *,
    title: str,
    resume: bool = False,
    **description,
) -> History:
    """Train an initialised net; the first worker fills the run's folder (see `Run`).

    Parameters
    ----------
    net : DeepRect
    batches, validation : Dataset
    config : TrainConfig
        With `checkpoint_every`, checkpoints go into the run's folder.
    folder : Path
    workers : Workers
    title : str
        Of the picture of the curves.
    resume : bool
        Continue from the newest checkpoint in the folder, if there is one.
    description : dict
        More of what made this run, kept in its config.json.

    Returns
    -------
    History

    Raises
    ------
    FileExistsError
        If the folder has checkpoints and `resume` is not asked for.
    Stopped, FloatingPointError, ValueError, OSError
        See `fit`.
    """
    folder = Path(folder)
    checkpoints = None
    if resume and not config.checkpoint_every:
        raise ValueError("to resume there must be checkpoints; give checkpoint_every, in steps")
    if config.checkpoint_every:
        checkpoints = Checkpoints(folder / CHECKPOINTS, config.keep_checkpoints)
        if not resume and workers.share(bool(checkpoints.found())):
            raise FileExistsError(
                f"{checkpoints.folder} holds checkpoints of an earlier training; continue it with "
                "--resume auto, or give another folder"
            )
    precision.prepare(config.amp, workers.context)
    run = Run(folder) if workers.is_first else None
    history = History(run.folder if run else None)
    if run:
        run.save_config(net, config, workers=workers.size, **description)
    try:
        fit(net, batches, validation, config, workers, history, checkpoints, resume)
    finally:
        history.close()
    if run:
        run.save_weights(net)
        learning_curves(history.rows, title, run.folder / "curves.png")
    return history
