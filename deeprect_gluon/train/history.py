"""Keep what happens in a training: the rows of its history, and the folder of its run."""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import shlex
import sys
import time
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import mxnet as mx
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from .. import native
from ..files import write_atomically
from ..models.weights import write_params
from ..version import __version__
from .config import TrainConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """The steps since the row before; validation figures only at the end of an epoch."""

    step: int
    epoch: float
    lr: float
    train_loss: float
    train_error: float
    images_per_second: float
    val_loss: float | None = None
    val_error: float | None = None
    val_top5_error: float | None = None


_COLUMNS = [field.name for field in fields(Row)]
# Older files lack the later columns.
_REQUIRED = _COLUMNS[: _COLUMNS.index("val_error") + 1]


class History:
    """Rows of a training: in memory, as CSV and for TensorBoard.

    Parameters
    ----------
    folder : Path, optional
        For `history.csv` and TensorBoard's event file; without it rows are only kept in memory.
    """

    def __init__(self, folder: Path | None = None):
        self.rows: list[Row] = []
        self._folder = folder
        self._files: tuple[TextIO, EventsWriter] | None = None

    def resume(self, count: int) -> None:
        """Keep the first `count` rows of the files and continue after them.

        Without a `history.csv` the log says so, and the rows begin anew.

        Raises
        ------
        ValueError
            If it has fewer rows, or damaged ones.
        """
        if self._folder is None or not count:
            return
        path = self._folder / "history.csv"
        if not path.exists():
            logger.warning("%s is missing; its rows up to the checkpoint are lost", path)
            return
        try:
            rows = read(path, count)
            if len(rows) < count:
                raise ValueError(f"{path} has {len(rows)} rows; the checkpoint comes after {count}")
        except ValueError as error:
            raise ValueError(f"{error}; repair it, or remove it to go on without") from error
        self.rows = rows

    def open(self) -> None:
        """Open the files, in place of those of an earlier training; the first row does it too."""
        if self._folder is None or self._files is not None:
            return
        path = self._folder / "history.csv"
        write_atomically(path, lambda temporary: _write(temporary, self.rows))
        # Not by SummaryWriter, whose thread ends if the disk is full; the training then waits for
        # it for ever.
        board = EventsWriter(str(self._folder / "events"))
        if self.rows:  # TensorBoard then drops what the training did after its checkpoint
            start = SessionLog(status=SessionLog.START)
            step = self.rows[-1].step + 1
            board.write_event(Event(wall_time=time.time(), step=step, session_log=start))
        self._files = path.open("a", newline=""), board

    def add(self, row: Row) -> None:
        """Add a row, and write it to the files."""
        self.open()
        if self._files is not None:
            file, board = self._files
            values = _values(row)
            csv.DictWriter(file, _COLUMNS).writerow(values)
            file.flush()
            step = values.pop("step")
            for name, value in values.items():
                event = Event(wall_time=time.time(), step=step, summary=scalar(name, value))
                board.write_event(event)
            board.flush()
            self._require_folder(file)
        self.rows.append(row)

    def sync(self) -> None:
        """Return when the rows are safely on disk."""
        if self._files is not None:
            os.fsync(self._files[0].fileno())
            self._require_folder(self._files[0])

    def _require_folder(self, file: TextIO) -> None:
        if not os.fstat(file.fileno()).st_nlink:
            message = "the folder of the run was removed during the training"
            raise FileNotFoundError(errno.ENOENT, message, str(self._folder))

    def close(self) -> None:
        """Close the files."""
        if self._files is not None:
            for file in self._files:
                file.close()


def _values(row: Row) -> dict:
    return {name: value for name, value in asdict(row).items() if value is not None}


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(map(_values, rows))


def _row(texts: dict[str, str]) -> Row:
    values: dict[str, Any] = {name: float(text) if text else None for name, text in texts.items()}
    return Row(**{**values, "step": int(texts["step"])})


def read(path: Path, count: int | None = None) -> list[Row]:
    """Read the rows of a `history.csv`, or the first `count` of them.

    Raises
    ------
    ValueError
        If the file has other columns, or a row is cut short.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames not in (_REQUIRED, _COLUMNS):
            raise ValueError(f"{path} has columns {reader.fieldnames}; expected {_COLUMNS}")
        try:
            return [_row(values) for values in islice(reader, count)]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} has a row that is not of numbers ({error})") from error


class Run:
    """The folder of a training: config.json, history.csv, weights.params and curves.png.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    @property
    def weights(self) -> Path:
        return self.folder / "weights.params"

    def save_config(self, net: mx.gluon.HybridBlock, config: TrainConfig, **more) -> None:
        """Write what is needed to do the same training again, and remove the weights of another.

        So weights never lie beside settings that they were not trained with.

        Parameters
        ----------
        net : DeepRect
            Its `config` rebuilds it.
        config : TrainConfig
        more : dict
            Further JSON values, such as dataset and initialiser.
        """
        content = {
            "model": net.config,
            "train": asdict(config),
            "command": shlex.join(["python", *sys.argv]),
            "version": __version__,
            # Sums inside MXNet may round differently with another number of threads.
            "threads": native.threads(),
            **more,
        }

        def write(temporary: Path) -> None:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            self.weights.unlink(missing_ok=True)

        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / "config.json", write)

    def save_weights(self, net: mx.gluon.Block) -> None:
        """Write the parameters in Gluon's own format, by their structural names."""
        parameters = net._collect_params_with_prefix()
        write_params(self.weights, {k: p.list_data()[0] for k, p in parameters.items()})
