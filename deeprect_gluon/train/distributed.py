"""Connect the workers of a training: Horovod's ranks, or this process alone."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping

import mxnet as mx
import numpy as np


class Workers:
    """All workers of a training, as one of them sees them.

    Without `horovodrun` there is one worker, and Horovod is not imported. A worker computes on the
    GPU with the number of its rank on its machine, or on the CPU if there is no GPU.

    Raises
    ------
    RuntimeError
        If the process was launched as one of several ranks, and Horovod cannot be imported: to
        train alone instead would be silently wrong.

    Notes
    -----
    Horovod packs gradients that are ready at the same time into one buffer of up to
    HOROVOD_FUSION_THRESHOLD bytes. Here that is off, unless the environment sets the variable. With
    packing, the time of arrival decides what is packed together. With three or more workers that
    decides the order in which a ring adds up a gradient. Without packing, the same training gives
    the same bits. It costs little: nearly all bytes of the paper's nets are in some twenty weights
    (of model C's 1.3 GB, 0.9 GB are the first fully-connected layer), which gain nothing from a
    copy into a buffer. The latency of the other forty tensors is well below 1 % of a step.
    """

    def __init__(self) -> None:
        self._hvd: Any = None
        if "HOROVOD_SIZE" in os.environ or "OMPI_COMM_WORLD_SIZE" in os.environ:
            os.environ.setdefault("HOROVOD_FUSION_THRESHOLD", "0")
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
        local = self._hvd.local_rank() if self._hvd else 0
        self.context = mx.gpu(local) if mx.context.num_gpus() else mx.cpu()

    @property
    def is_first(self) -> bool:
        """Whether this is the worker that writes files."""
        return self.rank == 0

    def trainer(self, net: mx.gluon.Block, optimizer_params: dict) -> mx.gluon.Trainer:
        """Return an SGD trainer that starts all workers from the first one's parameters.

        Where there are several, `trainer.step(n)` divides the sum of all their gradients by
        n times their number.
        """
        parameters = net.collect_params()
        if self._hvd is None:
            return mx.gluon.Trainer(parameters, "fusedsgd", optimizer_params, kvstore=None)
        self._hvd.broadcast_parameters(parameters, root_rank=0)
        return self._hvd.DistributedTrainer(parameters, "fusedsgd", optimizer_params)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over the workers of a float64 array; the same bits on each of them."""
        if self._hvd is None:
            return values
        total = mx.nd.array(values, dtype="float64")
        name = "x".join(map(str, ("sum", *values.shape)))
        return self._hvd.allreduce(total, average=False, name=name).asnumpy()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any worker."""
        return bool(self.sum(np.array([flag], np.float64))[0])

    def broadcast(self, arrays: Mapping[str, mx.nd.NDArray]) -> None:
        """Fill arrays of the same names and shapes on all workers with the first one's values."""
        if self._hvd is not None:
            for name, array in arrays.items():
                self._hvd.broadcast_(array, root_rank=0, name=f"broadcast {name}")

    def on_first(self, call: Callable[[], Any]) -> Any:
        """Call a function on the first worker; return its result, or raise its error, on all.

        The result can be pickled.
        """
        result = error = None
        if self.is_first:
            try:
                result = call()
            except Exception as caught:
                error = caught
        if self._hvd is not None:
            result, error = self._hvd.broadcast_object((result, error), root_rank=0)
            # The first worker returns from there at once. If it ended, or sent another result,
            # before the others have this one, Horovod would drop it.
            mx.nd.waitall()
        if error is not None:
            raise error
        return result
