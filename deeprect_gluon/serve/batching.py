"""Gather requests into batches and compute them together."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Callable, Iterator, NamedTuple

import numpy as np


class BusyError(RuntimeError):
    """The queue of waiting requests is full."""


class _Request(NamedTuple):
    input: np.ndarray
    result: asyncio.Future
    deadline: float  # of the event loop's clock


class Batcher:
    """Gathers single inputs into batches, which one thread computes one after the other.

    A batch starts as soon as it is full, or when its first input has waited for `max_wait`. While
    one is computed the next one gathers; under load no input waits for `max_wait`.

    Parameters
    ----------
    run : callable
        From inputs (N, ...) to results (N, ...), called in another thread.
    max_batch : int
        Inputs of a batch.
    max_wait : float
        Seconds.
    max_queue : int
        Requests that are admitted at a time. There is no other queue before a batch.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        max_batch: int = 16,
        max_wait: float = 0.005,
        max_queue: int = 64,
    ):
        self.admitted = 0
        self._run = run
        self._max_batch, self._max_wait, self._max_queue = max_batch, max_wait, max_queue

    @contextmanager
    def admission(self) -> Iterator[None]:
        """Hold a place in the queue; raise BusyError if it is full."""
        if self.admitted >= self._max_queue:
            raise BusyError(
                f"{self._max_queue} requests are waiting already; try again in a moment"
            )
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    async def start(self) -> None:
        """Start the thread, in the event loop of the requests."""
        self._queue: asyncio.Queue = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "batches")
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop the thread, without waiting for a batch that it still computes."""
        self._worker.cancel()
        await asyncio.wait([self._worker])
        self._thread.shutdown(wait=False)

    async def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the result for one input, or raise what `run` raises for its batch."""
        loop = asyncio.get_running_loop()
        request = _Request(x, loop.create_future(), loop.time() + self._max_wait)
        self._queue.put_nowait(request)
        return await request.result

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._gather()
            inputs = np.stack([request.input for request in batch])
            try:
                results = await loop.run_in_executor(self._thread, self._run, inputs)
            except Exception as error:
                for request in batch:
                    if not request.result.done():  # else it was cancelled
                        request.result.set_exception(error)
                continue
            for request, result in zip(batch, results):
                if not request.result.done():
                    request.result.set_result(result)

    async def _gather(self) -> list[_Request]:
        loop = asyncio.get_running_loop()
        batch = [await self._queue.get()]
        while len(batch) < self._max_batch:
            if self._queue.empty():
                left = batch[0].deadline - loop.time()
                try:
                    batch.append(await asyncio.wait_for(self._queue.get(), left))
                except asyncio.TimeoutError:
                    break
            else:
                batch.append(self._queue.get_nowait())
        return batch
