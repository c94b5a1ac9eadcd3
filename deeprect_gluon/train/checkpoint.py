"""Write and read checkpoints, from which a training continues with the same bits.

A checkpoint is one safetensors file. It holds arrays, and under `state` in its metadata all else
that the training needs, as JSON. Its name ends in the first half of its SHA-256, so no second file
is needed to check it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Mapping

import mxnet as mx
import numpy as np
import safetensors

from ..files import replace_durably, sha256

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d+)-([0-9a-f]{32})\.safetensors")
# What comes of content that has the right digest and another form.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_DTYPES = {"float32": "F32", "float16": "F16", "float64": "F64"}


class DamagedCheckpointError(ValueError):
    """A checkpoint whose content has changed, or a folder without any whole checkpoint."""


class Checkpoints:
    """The folder of a training's checkpoints.

    Parameters
    ----------
    folder : Path
        Made when the first checkpoint is written, in a folder that exists.
    keep : int
        Number of the latest checkpoints to keep, beside the best.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = Path(folder), keep

    def found(self) -> list[tuple[int, Path]]:
        """Return (step, path) of the checkpoints in the folder, oldest first."""
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.glob("step-*"))
        return sorted((int(match[1]), path) for match, path in matches if match)

    def save(
        self, step: int, arrays: Mapping[str, mx.nd.NDArray], state: dict, best: int | None = None
    ) -> Path:
        """Write a checkpoint, and remove those that are not to be kept.

        Parameters
        ----------
        step : int
        arrays : mapping of name to NDArray
        state : dict
            JSON values.
        best : int, optional
            The step of the best checkpoint, which is kept.

        Raises
        ------
        OSError
            If it cannot be written; earlier checkpoints are unchanged then.
        """
        temporary = self.folder / f".{os.getpid()}.step-{step:08d}"
        try:
            # Without its parents: if the run's folder was removed, this is no place for a training.
            self.folder.mkdir(exist_ok=True)
            for unfinished in self.folder.glob(".*.step-*"):  # of a process that was killed
                _remove(unfinished)
            digest = _write(temporary, arrays, state)
            path = self.folder / f"step-{step:08d}-{digest[:32]}.safetensors"
            if path.is_dir():
                _remove(path)
            replace_durably(temporary, path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the checkpoint of step {step} could not be written ({error.strerror}); earlier "
                "ones are whole: make room and continue with --resume auto",
                str(self.folder),
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        self._prune(path, step, best)
        return path

    def _prune(self, newest: Path, step: int, best: int | None) -> None:
        # A checkpoint after this step must be damaged: else the training had continued from it.
        earlier = sorted({s for s, _ in self.found() if s <= step})
        kept = {*earlier[-self.keep :], best} - {step}
        for s, path in self.found():
            if s not in kept and path != newest:
                _remove(path)

    def latest(self) -> tuple[Path, dict[str, np.ndarray], dict] | None:
        """Return (path, arrays, state) of the newest whole checkpoint, or None if there is none.

        The log names damaged ones.

        Raises
        ------
        DamagedCheckpointError
            If there are checkpoints, and none is whole.
        """
        found = self.found()
        for _, path in reversed(found):
            try:
                return (path, *read(path))
            except DamagedCheckpointError as error:
                logger.warning("%s; trying the one before it", error)
        if found:
            raise DamagedCheckpointError(
                f"no checkpoint in {self.folder} is whole; remove the folder to start anew"
            )
        return None


def _remove(path: Path) -> None:
    """Remove a file; rename a folder in its place, since we did not make that."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"bad-{path.name}"))
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, arrays: Mapping[str, mx.nd.NDArray], state: dict) -> str:
    """Write a safetensors file one array at a time, and return its SHA-256.

    The writer of safetensors needs all arrays as byte strings at once: for model C, 2.6 GB twice.
    """
    header: dict = {"__metadata__": {"state": json.dumps(state, sort_keys=True)}}
    offset = 0
    for name, array in arrays.items():
        dtype = np.dtype(array.dtype)
        end = offset + array.size * dtype.itemsize
        header[name] = {
            "dtype": _DTYPES[dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (len(text).to_bytes(8, "little"), text):
            digest.update(piece)
            file.write(piece)
        for array in arrays.values():
            piece = array.asnumpy().data.cast("B")
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def read(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Return the arrays and the state of a checkpoint.

    Raises
    ------
    DamagedCheckpointError
        If it cannot be read, or its content does not have the digest in its name.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DamagedCheckpointError(f"{path} has not the name of a checkpoint")
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        digest = sha256(path)
        if digest[:32] != match[2]:
            raise ValueError(f"its SHA-256 begins with {digest[:32]}")
        with safetensors.safe_open(str(path), "numpy") as file:
            state = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, *MALFORMED) as error:
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged: {error}") from error
