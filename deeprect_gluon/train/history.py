"""What happened in a training, row by row: in memory, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tensorboardX import SummaryWriter


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


class History:
    """Rows of a training.

    Parameters
    ----------
    folder : Path, optional
        Where `history.csv` and TensorBoard's event file go; without it rows are only kept.
    """

    def __init__(self, folder: Path | None = None):
        self.rows: list[Row] = []
        self._file = self._board = None
        if folder is not None:
            self._file = (folder / "history.csv").open("w", newline="")
            self._csv = csv.DictWriter(self._file, [f.name for f in fields(Row)])
            self._csv.writeheader()
            self._board = SummaryWriter(str(folder))

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if self._file is not None:
            values = {name: value for name, value in asdict(row).items() if value is not None}
            self._csv.writerow(values)
            self._file.flush()
            step = values.pop("step")
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._board.close()


def read(path: Path) -> list[Row]:
    """Read the rows of a `history.csv`.

    Raises
    ------
    ValueError
        If the file has other columns.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        expected = [f.name for f in fields(Row)]
        if reader.fieldnames != expected:
            raise ValueError(f"{path} has columns {reader.fieldnames}; expected {expected}")
        return [
            Row(int(r.pop("step")), **{k: float(v) if v else None for k, v in r.items()})
            for r in reader
        ]
