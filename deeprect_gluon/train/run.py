"""The folder of one training: what was asked, what happened and what came out."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import mxnet as mx

from ..files import write_atomically, write_text_atomically
from ..version import __version__
from .config import TrainConfig


class Run:
    """A folder with config.json, history.csv, weights.params and curves.png.

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
            "threads": int(os.environ["OMP_NUM_THREADS"]),
            **more,
        }
        text = json.dumps(content, indent=2) + "\n"
        write_text_atomically(self.folder / "config.json", text)

    def save_weights(self, net: mx.gluon.Block) -> None:
        """Write the parameters in Gluon's own format, by their structural names."""
        write_atomically(self.weights, lambda path: net.save_parameters(str(path)))
