"""Print JSON: the instruction set in use, and digests of what the kernels compute with it."""

import hashlib
import json
from functools import lru_cache

import numpy as np

import deeprect_gluon as dg
from deeprect_gluon.data import augment

import mxnet as mx  # isort: skip

# Every branch: short and long inner axes, rows, one channel, sizes past the threads' threshold.
CASES = [
    ((1, 37), 1),
    ((64, 4096), 1),
    ((3000, 50), 1),
    ((4, 96, 30, 31), 1),
    ((6, 128, 7, 7), 1),
    ((40, 200, 3, 1), 1),
    ((2, 40, 41, 64), -1),
    ((100000,), 0),
    ((2, 2, 70000), 1),
]
TYPES = [
    ("float32", "float32"),
    ("float64", "float64"),
    ("float16", "float16"),
    ("float16", "float32"),
]


@lru_cache(maxsize=None)
def random_arrays(shape, channels):
    rng = np.random.default_rng(1)
    # Magnitudes from 1e-3 to 1e3, so that the order of a sum shows in its bits.
    x, dy = rng.standard_normal((2, *shape)) * 10 ** rng.uniform(-3, 3, shape)
    return x, dy, rng.standard_normal(channels)


def results(shape, axis, data_type, alpha_type, shared):
    x, dy, alpha = random_arrays(shape, 1 if shared else shape[axis])
    x, dy = (mx.nd.array(v, dtype=data_type) for v in (x, dy))
    alpha = mx.nd.array(alpha, dtype=alpha_type)
    x.attach_grad()
    alpha.attach_grad()
    with mx.autograd.record():
        y = dg.prelu(x, alpha, axis)
    y.backward(dy)
    return [v.asnumpy() for v in (y, x.grad, alpha.grad)]


def prelu_results():
    for shape, axis in CASES:
        for data_type, alpha_type in TYPES:
            for shared in (False, True):
                yield from results(shape, axis, data_type, alpha_type, shared)


def sgd_results():
    """Less than a vector, a few elements more than a thread's share, and many shares."""
    rng = np.random.default_rng(2)
    for size in (7, 16389, 100003):
        values = rng.standard_normal((3, size)) * 10 ** rng.uniform(-3, 3, (3, size))
        weight, grad, velocity = (mx.nd.array(v, dtype="float32") for v in values)
        settings = {"lr": 0.1, "wd": 5e-4, "momentum": 0.9, "rescale_grad": 1 / 3}
        mx.nd.deeprect_sgd_update(weight, grad, velocity, out=[weight, velocity], **settings)
        yield weight.asnumpy()
        yield velocity.asnumpy()


def crop_results():
    """Crops that shrink and that enlarge the image."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (241, 333, 3), dtype="uint8")
    for side, size in ((77, 64), (513, 224)):
        view = augment.View(side, 3, 5, True, np.array([0.1, -0.2, 0.3]))
        out = np.empty((3, size, size), "float32")
        augment.render(image, view, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4], out)
        yield out


def normal_results():
    """Initial weights: many tiles of values and a part of one."""
    weight = mx.nd.empty((101, 991))
    dg.initializer.MSRA(seed=4)(mx.init.InitDesc("conv0_weight"), weight)
    yield weight.asnumpy()


RESULTS = {
    "prelu": prelu_results,
    "sgd": sgd_results,
    "crop": crop_results,
    "normal": normal_results,
}


def digest(name, threads):
    dg.native.set_threads(threads)
    sha = hashlib.sha256()
    for value in RESULTS[name]():
        sha.update(value.tobytes())
    return sha.hexdigest()


def conversion_digest():
    """Cover float16 to float and back: all bit patterns, and floats near every rounding border."""
    halves = np.arange(1 << 16, dtype="uint16").view("float16")
    one = mx.nd.ones((1,), dtype="float32")
    y = dg.prelu(mx.nd.array(halves, dtype="float16"), one, axis=0).asnumpy()
    # The operator multiplies by one where x is not positive: NaN is made quiet, no more.
    want = np.where(np.isnan(halves), halves.view("uint16") | 0x200, halves.view("uint16"))
    np.testing.assert_array_equal(y.view("uint16"), want)

    with np.errstate(over="ignore"):
        exact = np.unique(halves[np.isfinite(halves)].astype("float32"))
        middles = (exact[1:] + exact[:-1]) / 2
        rng = np.random.default_rng(2)
        floats = rng.integers(0, 1 << 32, 1 << 20, dtype="uint32").view("float32")
        edges = np.float32([65504, 65519.996, 65520, 65536, 1e30, np.inf, 2**-25, 2**-24, 1e-45])
        around = [np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)]
        others = floats[~np.isnan(floats)]
        values = np.concatenate([exact, middles, *around, edges, -edges, others]).astype("float32")
        want = values.astype("float16")
    minus_one = mx.nd.full((1, values.size), -1, dtype="float16")
    y = dg.prelu(minus_one, mx.nd.array(-values, dtype="float32")).asnumpy()[0]
    np.testing.assert_array_equal(y.view("uint16"), want.view("uint16"))
    return hashlib.sha256(y.tobytes()).hexdigest()


if __name__ == "__main__":
    report = {
        "isa": dg.native.isa(),
        "digests": {name: [digest(name, threads) for threads in (1, 2, 3)] for name in RESULTS},
        "conversions": conversion_digest(),
    }
    print(json.dumps(report))
