"""How much memory a training step takes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import mxnet as mx

_FLOAT = 4  # bytes
# Nodes whose output is their input's memory.
_VIEWS = ("null", "_copy", "Flatten", "Reshape")


@dataclass(frozen=True)
class Memory:
    """Bytes of a worker: the net's and those of its part of a batch."""

    parameters: int
    gradients: int
    momentum: int
    activations: int

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.momentum + self.activations


def estimate(net: mx.gluon.HybridBlock, images: int) -> Memory:
    """Estimate the memory of a training step in float32 from the net's graph, without running it.

    Parameters
    ----------
    net : DeepRect
        Initialised or not.
    images : int
        Of one worker in a step.

    Returns
    -------
    Memory
        For the activations, the outputs of all layers and as much again for their gradients: on
        the CPU what was measured exceeds that by 3 to 8 % (tests/train/test_memory.py). The
        buffers of MXNet and of the data come on top.
    """
    size = net.config["input_size"]
    shape = (images, net.config["in_channels"], size, size)
    graph = net(mx.sym.Variable("data"))
    arguments, _, _ = graph.infer_shape(data=shape)
    inputs = zip(graph.list_arguments(), arguments)
    parameters = sum(math.prod(s) for name, s in inputs if name != "data")
    internals = graph.get_internals()
    _, outputs, _ = internals.infer_shape(data=shape)
    operators = {n["name"]: n["op"] for n in json.loads(internals.tojson())["nodes"]}
    activations = math.prod(shape)
    for name, output in zip(internals.list_outputs(), outputs):
        node = name[: -len("_output")] if name.endswith("_output") else name
        if operators.get(node) not in _VIEWS:
            activations += 2 * math.prod(output)
    values = _FLOAT * parameters
    return Memory(values, values, values, _FLOAT * activations)
