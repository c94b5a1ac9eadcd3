"""The workers of a training: Horovod's ranks, or this process alone."""

from __future__ import annotations

import os

import mxnet as mx
import numpy as np


class Workers:
    """What the training loop needs of its fellow workers.

    Outside `horovodrun` there is one worker and Horovod is not imported.

    Raises
    ------
    RuntimeError
        If the process was launched as one of several ranks, and Horovod cannot be imported:
        training alone in its place would be silently wrong.
    """

    def __init__(self):
        self._hvd = None
        if "HOROVOD_SIZE" in os.environ or "OMPI_COMM_WORLD_SIZE" in os.environ:
            try:
                import horovod.mxnet as hvd
            except ImportError as error:
                raise RuntimeError(
                    f"launched as one of several ranks, but Horovod cannot be used ({error}); "
                    "install it with MXNet support: HOROVOD_WITH_MXNET=1 pip install "
                    "--no-build-isolation horovod==0.28.1"
                ) from error
            hvd.init()
            self._hvd = hvd
        self.rank: int = self._hvd.rank() if self._hvd else 0
        self.size: int = self._hvd.size() if self._hvd else 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def trainer(self, net: mx.gluon.Block, optimizer_params: dict) -> mx.gluon.Trainer:
        """Return an SGD trainer that starts all workers from the first one's parameters."""
        parameters = net.collect_params()
        if self._hvd is None:
            return mx.gluon.Trainer(parameters, "sgd", optimizer_params, kvstore=None)
        self._hvd.broadcast_parameters(parameters, root_rank=0)
        return self._hvd.DistributedTrainer(parameters, "sgd", optimizer_params)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over the workers of a float64 array; the same bits on each of them."""
        if self._hvd is None:
            return values
        total = mx.nd.array(values, dtype="float64")
        return self._hvd.allreduce(total, average=False).asnumpy()
