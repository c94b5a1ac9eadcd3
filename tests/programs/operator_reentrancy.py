"""Train one block from eight Python threads, on an engine with several workers."""

import threading

import numpy as np

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

THREADS, ROUNDS = 8, 20
alpha = np.float32([0.25, -1, 0, 2, 0.5])
failures = []
start = threading.Barrier(THREADS)


def train(seed):
    rng = np.random.default_rng(seed)
    slopes = mx.nd.array(alpha)
    try:
        start.wait()
        for i in range(ROUNDS):
            shape = (int(rng.integers(1, 9)), 5, int(rng.integers(1, 6000)))
            x, dy = rng.standard_normal((2, *shape)).astype("float32")
            data = mx.nd.array(x)
            data.attach_grad()
            with mx.autograd.record():
                y = dg.prelu(data, slopes)
            y.backward(mx.nd.array(dy))
            broadcast = alpha.reshape(1, 5, 1)
            np.testing.assert_array_equal(y.asnumpy(), np.where(x > 0, x, broadcast * x))
            np.testing.assert_array_equal(
                data.grad.asnumpy(), np.where(x > 0, dy, broadcast * dy), f"round {i}"
            )
    except BaseException as error:
        failures.append(error)


threads = [threading.Thread(target=train, args=(seed,)) for seed in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    raise failures[0]
