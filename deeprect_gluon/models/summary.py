"""Count layers, parameters and multiply-adds of a network on its graph, without running it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import mxnet as mx

from ..errors import require, whole
from ..operators import portable_operators


@dataclass
class Layer:
    """A row of a summary: shapes and counts are those for one image."""

    name: str
    output: tuple[int, ...] = ()
    parameters: int = 0
    multiply_adds: int = 0


@dataclass
class Summary:
    """The layers of a network in the order of computation."""

    layers: list[Layer]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    def __str__(self) -> str:
        rows = [("layer", "output", "parameters", "multiply-adds")]
        for layer in self.layers:
            output = "x".join(map(str, layer.output))
            rows.append((layer.name, output, f"{layer.parameters:,}", f"{layer.multiply_adds:,}"))
        rows.append(("total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"))
        a, b, c, d = (max(map(len, column)) for column in zip(*rows))
        return "\n".join(f"{r[0]:<{a}}  {r[1]:<{b}}  {r[2]:>{c}}  {r[3]:>{d}}" for r in rows)


def summary(net: mx.gluon.HybridBlock, input_shape: tuple[int, ...] | None = None) -> Summary:
    """Count the layers, parameters and multiply-adds of a network for one image.

    Parameters
    ----------
    net : HybridBlock
        Initialised or not.
    input_shape : tuple of int, optional
        (channels, height, width); by default that of the network's configuration.

    Returns
    -------
    Summary
        One row for each layer with parameters, its activation included, and for each pooling.
        Convolutions and fully-connected layers count as multiply-adds, as in the paper's Table 3.
    """
    require("net", net, mx.gluon.HybridBlock)
    require("input_shape", input_shape, tuple, list, type(None))
    if input_shape is None:
        size = net.config["input_size"]
        input_shape = (net.config["in_channels"], size, size)
    input_shape = tuple(whole("an extent of input_shape", n, 1) for n in input_shape)
    with portable_operators():  # a node for each layer and for each activation
        graph = net(mx.sym.Variable("data")).get_internals()
    try:
        argument_shapes, output_shapes, _ = graph.infer_shape(data=(1, *input_shape))
    except mx.MXNetError as error:
        raise ValueError(f"{net.name} takes no images of shape {input_shape}") from error
    shapes = dict(zip(graph.list_arguments(), argument_shapes))
    outputs = dict(zip(graph.list_outputs(), output_shapes))
    nodes = json.loads(graph.tojson())["nodes"]
    layers: dict[str, Layer] = {}
    for node in nodes:
        inputs = [nodes[i]["name"] for i, *_ in node["inputs"] if nodes[i]["op"] == "null"]
        parameters = [name for name in inputs if name != "data"]
        if not parameters and node["op"] != "Pooling":
            continue
        name = parameters[0].rsplit("_", 1)[0] if parameters else node["name"]
        name = name[len(net.prefix) :] if name.startswith(net.prefix) else name
        layer = layers.setdefault(name, Layer(name))
        layer.parameters += sum(math.prod(shapes[p]) for p in parameters)
        if node["op"] in ("Convolution", "FullyConnected", "Pooling"):
            layer.output = outputs[f"{node['name']}_output"][1:]
        if node["op"] in ("Convolution", "FullyConnected"):
            weight = shapes[parameters[0]]
            layer.multiply_adds = math.prod(layer.output) * math.prod(weight[1:])
    return Summary(list(layers.values()))
