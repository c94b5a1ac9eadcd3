"""Keep what happens in a training: the rows of its history, and the folder of its run."""

from __future__ import annotations

import csv
import json
import os
import shlex
import sys
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import mxnet as mx
from tensorboardX import SummaryWriter

from .. import native
from ..files import write_atomically, write_text_atomically
from ..version import __version__
from .config import TrainConfig


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
        For `history.csv` and TensorBoard's event file; without it rows are only kept in memory. The
        first row opens the files, and replaces those of an earlier training.
    """

    def __init__(self, folder: Path | None = None):
        self.rows: list[Row] = []
        self._folder = folder
        self._files: tuple[TextIO, SummaryWriter] | None = None

    def resume(self, count: int) -> None:
        """Keep the first `count` rows of the files and continue after them.

        Raises
        ------
        ValueError
            If there are fewer.
        """
        if self._folder is None:
            return
        path = self._folder / "history.csv"
        rows = read(path, count) if count else []
        if len(rows) < count:
            raise ValueError(f"{path} has {len(rows)} rows; the checkpoint comes after {count}")
        self.rows = rows

    def add(self, row: Row) -> None:
        """Add a row, and write it to the files."""
        if self._folder is not None:
            if self._files is None:
                self._files = self._open(self._folder)
            file, board = self._files
            values = _values(row)
            csv.DictWriter(file, _COLUMNS).writerow(values)
            file.flush()
            step = values.pop("step")
            for name, value in values.items():
                board.add_scalar(name, value, step)
        self.rows.append(row)

    def _open(self, folder: Path) -> tuple[TextIO, SummaryWriter]:
        path = folder / "history.csv"
        write_atomically(path, lambda temporary: _write(temporary, self.rows))
        after = self.rows[-1].step + 1 if self.rows else None
        return path.open("a", newline=""), SummaryWriter(str(folder), purge_step=after)

    def sync(self) -> None:
        """Return when the rows are safely on disk."""
        if self._files is not None:
            os.fsync(self._files[0].fileno())

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
        Made if it does not exist.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def weights(self) -> Path:
        return self.folder / "weights.params"

    def save_config(self, net: mx.gluon.HybridBlock, config: TrainConfig, **more) -> None:
        """Write what is needed to do the same training again.

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
        text = json.dumps(content, indent=2) + "\n"
        write_text_atomically(self.folder / "config.json", text)

    def save_weights(self, net: mx.gluon.Block) -> None:
        """Write the parameters in Gluon's own format, by their structural names."""
        write_atomically(self.weights, lambda path: net.save_parameters(str(path)))
