"""Read and write finished runs: one file for each claim, one JSON object on each line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

from filelock import FileLock

from deeprect_gluon.files import write_text_atomically

Row = Dict[str, Any]


def rows_path(folder: Path, name: str) -> Path:
    """Return the file of a claim's rows in the study's folder."""
    return folder / "results" / f"{name}.jsonl"


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file, or an empty list if the file does not exist.

    Raises
    ------
    ValueError
        If a line is not a row. The message names the line.
    """
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            row["case"], row["seed"], row["config"], row["result"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"line {number} of {path} is not a finished run ({error!r}); delete it, and the "
                "run will be done again"
            ) from error
        rows.append(row)
    return rows


def add_row(path: Path, row: Row) -> None:
    """Write a finished run to a file, in place of an older one of the same case and seed.

    Any number of processes may do this at the same time. The file is complete at every moment, and
    its content does not depend on the order in which runs finish.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(path.with_name(".lock"))):
        key = (row["case"], row["seed"])
        rows = [r for r in read_rows(path) if (r["case"], r["seed"]) != key] + [row]
        rows.sort(key=lambda r: (r["case"], r["seed"]))
        text = "".join(json.dumps(r, allow_nan=False) + "\n" for r in rows)
        write_text_atomically(path, text)
