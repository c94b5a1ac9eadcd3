"""Print JSON: the largest error of deeprect_fused_conv against float64, and digests of its bits."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1]))
from conv_prelu_reference import forward

THREADS = (1, 2, 3)


def draw(random):
    """Return the arrays and the arguments of a random call."""
    algorithm = random.choice(["winograd", "direct"])
    kernel = int(random.integers(2, 4) if algorithm == "winograd" else random.integers(1, 10))
    pad = int(random.integers(0, kernel))
    images, channels, filters = random.integers(1, (4, 40, 40))
    height, width = random.integers(max(1, kernel - 2 * pad), 30, 2)
    added, scaled = map(bool, random.random(2) < 0.5)
    out = (images, filters, height + 2 * pad + 1 - kernel, width + 2 * pad + 1 - kernel)
    shapes = [(images, channels, height, width), (filters, channels, kernel, kernel), (filters,)]
    shapes.append((int(filters if random.random() < 0.7 else 1),))
    shapes += [out] * added + [(channels,)] * 2 * scaled
    arguments = {"pad": pad, "algorithm": algorithm, "added": added, "scaled": scaled}
    return [random.standard_normal(shape).astype("f") for shape in shapes], arguments


def expected(arrays, arguments):
    """Compute a call in float64."""
    x, weight, bias, alpha, *more = (array.astype("d") for array in arrays)
    if arguments["scaled"]:
        scale, shift = (array.reshape(-1, 1, 1) for array in more[-2:])
        x = scale * x + shift
    z, _ = forward(x, weight, bias, alpha, arguments["pad"])
    if arguments["added"]:
        z = z + more[0]
    return np.where(z > 0, z, alpha.reshape(-1, 1, 1) * z)


def main():
    random = np.random.default_rng(0)
    digests = {threads: hashlib.sha256() for threads in THREADS}
    error = 0.0
    for _ in range(60):
        arrays, arguments = draw(random)
        tensors = [mx.nd.array(array) for array in arrays]
        reference = expected(arrays, arguments)
        for threads, digest in digests.items():
            dg.native.set_threads(threads)
            y = mx.nd.deeprect_fused_conv(*tensors, **arguments).asnumpy()
            digest.update(y.tobytes())
        error = max(error, float(np.abs(y - reference).max() / np.abs(reference).max()))
    report = {"isa": dg.native.isa(), "error": error}
    print(json.dumps({**report, "digests": [d.hexdigest() for d in digests.values()]}))


if __name__ == "__main__":
    main()
