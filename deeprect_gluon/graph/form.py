"""The graph of a net: nodes with any number of outputs, typed attributes, and parameters."""

from __future__ import annotations

import collections
import itertools
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Container, NamedTuple

import numpy as np

from .attributes import defaults


def free_name(name: str, taken: Container[str]) -> str:
    """Return a name, with a number behind it if it is taken."""
    copies = (f"{name}_{i}" for i in itertools.count(1))
    return next(choice for choice in itertools.chain([name], copies) if choice not in taken)


class Entry(NamedTuple):
    """An output of a node."""

    node: Node
    output: int = 0


@dataclass(eq=False)
class Node:
    """A call of an operator or, with op "null", a variable.

    Attributes
    ----------
    op : str
        MXNet's name of the operator.
    name : str
        Unique within a graph.
    attrs : dict of str to int, float, bool, str, tuple or None
        The arguments that were given, as typed values. `node["name"]` also knows the defaults.
    inputs : list of Entry
    hints : dict of str to str
        What no operator reads, such as `__lr_mult__`.
    layers : tuple of str
        Names of the calls whose work the node does, where passes joined several.
    uses : int
        How often the first output is used; only rules of `Graph.rewritten` may read it.
    """

    op: str
    name: str
    attrs: dict[str, Any] = field(default_factory=dict)
    inputs: list[Entry] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    uses: int = 1

    def __getitem__(self, attribute: str) -> Any:
        if attribute in self.attrs:
            return self.attrs[attribute]
        return defaults(self.op)[attribute]


@dataclass
class Graph:
    """A net.

    Attributes
    ----------
    heads : list of Entry
        Its outputs, from which all nodes are reached.
    arrays : dict of str to ndarray
        The values of parameters and auxiliary states, by the names of their variables. Variables
        without a value are the net's inputs.
    """

    heads: list[Entry]
    arrays: dict[str, np.ndarray]

    def nodes(self) -> list[Node]:
        """Return all nodes, each behind those whose outputs it takes."""
        order: list[Node] = []
        seen: set[int] = set()
        stack = [(head.node, False) for head in reversed(self.heads)]
        while stack:
            node, inputs_are_done = stack.pop()
            if inputs_are_done:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((before.node, False) for before in reversed(node.inputs))
        return order

    def calls(self) -> list[Node]:
        """Return the nodes that are no variables."""
        return [node for node in self.nodes() if node.op != "null"]

    def inputs(self) -> list[str]:
        """Return the names of the variables that have no value."""
        return [n.name for n in self.nodes() if n.op == "null" and n.name not in self.arrays]

    def value(self, entry: Entry) -> np.ndarray | None:
        """Return the value of a parameter; None if the entry is none."""
        return self.arrays.get(entry.node.name) if entry.node.op == "null" else None

    def constant(self, name: str, array: np.ndarray) -> Entry:
        """Add a parameter; its name gets a number if there is another of that name."""
        free = free_name(name, self.arrays)
        self.arrays[free] = array
        return Entry(Node("null", free))

    def rewritten(self, rule: Callable[[Graph, Node], Entry | None]) -> Graph:
        """Return a copy of the graph in which new outputs take the place of others.

        Parameters
        ----------
        rule : callable
            `rule(copy, node)` gets the new graph, to which it may add constants, and a node of it,
            whose inputs are rewritten already. It returns what takes the place of the node's first
            output, or None to keep the node. It is not asked about nodes with further outputs that
            are used, nor about variables.
        """
        copy = Graph([], dict(self.arrays))
        uses = collections.Counter(e for node in self.nodes() for e in node.inputs)
        uses.update(self.heads)
        several = {id(entry.node) for entry in uses if entry.output > 0}
        places: dict[int, Entry] = {}

        def place(entry: Entry) -> Entry:
            found = places[id(entry.node)]
            return found._replace(output=entry.output) if entry.output else found

        for old in self.nodes():
            node = replace(old, attrs=dict(old.attrs), inputs=[place(e) for e in old.inputs])
            node.uses = uses[Entry(old)]
            other = None if old.op == "null" or id(old) in several else rule(copy, node)
            places[id(old)] = other or Entry(node)
            if other:
                # The node itself no longer uses what takes its place.
                other.node.uses += node.uses - 1
        copy.heads = [place(head) for head in self.heads]
        used = {node.name for node in copy.nodes()}
        copy.arrays = {name: array for name, array in copy.arrays.items() if name in used}
        return copy
