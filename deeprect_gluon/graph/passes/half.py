"""Weights in float16, cast to float32 in the graph."""

from __future__ import annotations

import numpy as np

from ..form import Entry, Graph, Node


def halve_weights(graph: Graph) -> Graph:
    """Keep weights in float16; the graph casts them to float32 and computes as before.

    Biases and slopes, which have one axis, stay float32: they are small, and every output of a
    channel depends on each of them.

    Raises
    ------
    ValueError
        If a weight is too large for float16.
    """
    halves = {}
    for name, array in graph.arrays.items():
        if array.ndim < 2:
            continue
        with np.errstate(over="ignore"):
            halves[name] = array.astype(np.float16)
        if not np.isfinite(halves[name]).all():
            raise ValueError(f"{name} has values too large for float16; keep it in float32")
    casts: dict[str, Entry] = {}

    def cast(entry: Entry) -> Entry:
        name = entry.node.name
        if entry.node.op != "null" or name not in halves:
            return entry
        if name not in casts:
            casts[name] = Entry(Node("Cast", f"{name}_float32", {"dtype": "float32"}, [entry]))
        return casts[name]

    def rule(_: Graph, node: Node) -> None:
        node.inputs = [cast(entry) for entry in node.inputs]

    copy = graph.rewritten(rule)
    copy.arrays.update(halves)
    return copy
