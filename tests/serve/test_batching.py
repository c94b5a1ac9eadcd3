"""Batches form as promised, and every request gets its own result."""

import asyncio
import threading

import numpy as np
import pytest

from deeprect_gluon.serve import Batcher, BusyError

LONG = 1000  # seconds: the test would fail by its time limit


def run(main):
    return asyncio.run(asyncio.wait_for(main, 60))


class Doubling:
    """Doubles its inputs and notes the batches; the first of them waits until `gate` is set."""

    def __init__(self, is_open=True):
        self.batches = []
        self.entered, self.gate = threading.Event(), threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, inputs):
        self.batches.append(inputs[:, 0].tolist())
        self.entered.set()
        self.gate.wait(60)
        if inputs[0, 0] < 0:
            raise ArithmeticError("a negative number")
        return 2 * inputs


async def ask(batcher, *numbers):
    """Ask for all numbers at once; return the results, or errors."""
    calls = (batcher(np.array([number])) for number in numbers)
    return await asyncio.gather(*calls, return_exceptions=True)


def test_a_full_batch_does_not_wait():
    async def main():
        batcher = Batcher(work := Doubling(), max_batch=3, max_wait=LONG)
        await batcher.start()
        results = await ask(batcher, *range(9))
        await batcher.stop()
        return results, work.batches

    results, batches = run(main())
    assert [result.tolist() for result in results] == [[2 * i] for i in range(9)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_a_single_request_is_answered_after_the_wait():
    async def main():
        batcher = Batcher(work := Doubling(), max_batch=3, max_wait=0.01)
        await batcher.start()
        results = await ask(batcher, 5)
        await batcher.stop()
        return results, work.batches

    results, batches = run(main())
    assert results[0].tolist() == [10]
    assert batches == [[5]]


def test_requests_gather_while_a_batch_is_computed():
    async def main():
        batcher = Batcher(work := Doubling(is_open=False), max_batch=8, max_wait=0)
        await batcher.start()
        first = asyncio.create_task(ask(batcher, 0))
        while not work.entered.is_set():
            await asyncio.sleep(0.001)
        others = asyncio.create_task(ask(batcher, 1, 2, 3, 4))
        await asyncio.sleep(0)
        work.gate.set()
        results = [*await first, *await others]
        await batcher.stop()
        return results, work.batches

    results, batches = run(main())
    assert [result.tolist() for result in results] == [[2 * i] for i in range(5)]
    assert batches == [[0], [1, 2, 3, 4]]


def test_a_failure_reaches_those_of_its_batch_only():
    async def main():
        batcher = Batcher(Doubling(), max_batch=2, max_wait=LONG)
        await batcher.start()
        results = await ask(batcher, -1, 1, 2, 3)
        await batcher.stop()
        return results

    results = run(main())
    assert [type(result) for result in results[:2]] == [ArithmeticError] * 2
    assert [result.tolist() for result in results[2:]] == [[4], [6]]


def test_who_gave_up_does_not_disturb_the_others():
    async def main():
        batcher = Batcher(work := Doubling(), max_batch=2, max_wait=LONG)
        await batcher.start()
        impatient = asyncio.create_task(batcher(np.array([1])))
        await asyncio.sleep(0)
        impatient.cancel()
        results = await ask(batcher, 2)
        await batcher.stop()
        return results, work.batches

    results, batches = run(main())
    assert results[0].tolist() == [4]
    assert batches == [[1, 2]]


def test_places_are_counted():
    batcher = Batcher(Doubling(), max_queue=2)
    with batcher.admission(), batcher.admission():
        with pytest.raises(BusyError, match="2 requests are waiting already"), batcher.admission():
            pass
        assert batcher.admitted == 2
    with pytest.raises(KeyError), batcher.admission():
        raise KeyError
    assert batcher.admitted == 0
