"""How much arithmetic a net takes."""

from __future__ import annotations

import json

import mxnet as mx
import numpy as np


def multiply_adds(net: mx.gluon.HybridBlock) -> int:
    """Return the multiply-adds of convolutions and fully-connected layers, for one image.

    Parameters
    ----------
    net : DeepRect

    Notes
    -----
    Each weight is used once for every position of its layer's output map. This is how Table 3 of
    the paper counts.
    """
    size = net.config["input_size"]
    shape = (1, net.config["in_channels"], size, size)
    internals = net(mx.sym.var("data")).get_internals()
    _, shapes, _ = internals.infer_shape(data=shape)
    shape_of = dict(zip(internals.list_outputs(), shapes))
    graph = json.loads(internals.tojson())["nodes"]
    total = 0
    for node in graph:
        for source, *_ in node["inputs"]:
            weight = graph[source]["name"]
            if graph[source]["op"] == "null" and weight.endswith("weight"):
                positions = np.prod(shape_of[f"{node['name']}_output"][2:], dtype=np.int64)
                total += int(positions * np.prod(shape_of[weight], dtype=np.int64))
    return total
