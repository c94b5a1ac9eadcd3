"""Graphs from MXNet's symbols, files of any version since 0.8, and live Gluon nets."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any, Container, Mapping, Sequence

import mxnet as mx
import numpy as np

from ..models.weights import read_params
from ..operators import portable_operators
from .attributes import parse
from .form import Entry, Graph, Node, free_name
from .symbols import call, count_inputs, last_line, variable

# The graph of a net of a thousand layers has a hundredth of that.
MOST_BYTES = 16 << 20
# MXNet would make so many objects.
_MOST_OUTPUTS = 1 << 16
# From this version on a symbol holds every input of its nodes.
_COMPLETE = 900
# Attributes that MXNet up to 0.9 wrote without underscores; they may be of a node's variables.
_HINT = re.compile(r"(?:.+_)?(?:ctx_group|lr_mult|wd_mult|force_mirroring|mirror_stage)")


def from_symbol(symbol: mx.sym.Symbol, arrays: Mapping[str, np.ndarray]) -> Graph:
    """Return the graph of a symbol.

    Parameters
    ----------
    symbol : Symbol
    arrays : mapping of str to ndarray
        Values of its parameters and auxiliary states, without the prefixes "arg:" and "aux:".

    Raises
    ------
    ValueError
        If a node has a subgraph (control flow), or an argument that its operator does not take.
    """
    content = json.loads(symbol.tojson())
    nodes: list[Node] = []
    names = {value["name"] for value in content["nodes"] if value["op"] == "null"}
    for value in content["nodes"]:
        op, name = value["op"], value["name"]
        if value.get("subgraphs"):
            raise ValueError(f"{name} ({op}) has a graph of its own, which is not supported")
        if op != "null":
            # Gluon's Dense and the Activation behind it, under one prefix, have one name.
            name = free_name(name, names)
            names.add(name)
        texts = value.get("attrs", {})
        hints = {key: text for key, text in texts.items() if op == "null" or key.startswith("__")}
        attrs = {key: parse(op, key, text) for key, text in texts.items() if key not in hints}
        inputs = [Entry(nodes[number], output) for number, output, *_ in value["inputs"]]
        nodes.append(Node(op, name, attrs, inputs, hints, () if op == "null" else (name,)))
    heads = [Entry(nodes[number], output) for number, output, *_ in content["heads"]]
    known = {node.name for node in nodes}
    return Graph(heads, {name: array for name, array in arrays.items() if name in known})


def from_net(
    net: mx.gluon.HybridBlock, inputs: Sequence[str] = ("data",), portable: bool = False
) -> Graph:
    """Return the graph of an initialised net.

    Parameters
    ----------
    net : HybridBlock
    inputs : sequence of str
        Names for its inputs.
    portable : bool
        Build it of MXNet's own operators only.

    Raises
    ------
    ValueError
        If a parameter has no value yet, or as `from_symbol`.
    """
    variables = [mx.sym.var(name) for name in inputs]
    try:
        with portable_operators() if portable else contextlib.nullcontext():
            outputs = net(*variables)
    # Gluon asserts the number of inputs of a Sequential, and Python checks that of a function.
    except (AssertionError, TypeError) as error:
        raise ValueError(
            f"{net.name} cannot be traced with the inputs {', '.join(inputs)}: {last_line(error)}; "
            "name all its inputs"
        ) from error
    symbol = outputs if isinstance(outputs, mx.sym.Symbol) else mx.sym.Group(_flat(outputs))
    parameters = net.collect_params()
    arrays = {}
    for name in symbol.list_inputs():
        if name in inputs:
            continue
        try:
            arrays[name] = parameters[name].list_data()[0].asnumpy()
        except (mx.gluon.parameter.DeferredInitializationError, RuntimeError) as error:
            raise ValueError(
                f"{name} of {net.name} has no value yet; initialise the net and run it once"
            ) from error
    return from_symbol(symbol, arrays)


def load(prefix: Path | str, epoch: int = 0, inputs: Sequence[str] = ("data",)) -> Graph:
    """Read `PREFIX-symbol.json` and `PREFIX-EPOCH.params` of any MXNet since 0.8.

    Parameters
    ----------
    prefix : Path or str
    epoch : int
        Written with four digits in the parameters' name.
    inputs : sequence of str
        Names of the variables that are inputs. Those of labels may be left out.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, has an operator that MXNet does not know, or lacks a parameter; or if
        the symbol does not have a parameter of the file.
    """
    path, params = Path(f"{prefix}-symbol.json"), Path(f"{prefix}-{epoch:04d}.params")
    symbol = read_symbol(path)
    arrays = read_arrays(params)
    names = symbol.list_inputs()
    missing = [n for n in names if n not in arrays and n not in inputs and "label" not in n]
    if missing:
        raise ValueError(
            f"{params} has no {', '.join(missing)}, which {path} needs; give the parameters of "
            "this symbol, or name the net's inputs"
        )
    surplus = sorted(set(arrays) - set(names))
    if surplus:
        raise ValueError(f"{params} has {', '.join(surplus)}, which {path} does not know")
    return from_symbol(symbol, arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a file of parameters and auxiliary states; names come without "arg:" and "aux:"."""
    return {name.partition(":")[2]: array for name, array in read_params(path).items()}


def read_symbol(path: Path, operators: Container[str] | None = None) -> mx.sym.Symbol:
    """Read a symbol in the format of any MXNet since 0.8.

    Parameters
    ----------
    path : Path
    operators : container of str, optional
        All that it may have, besides variables. Give them where a stranger wrote the file: some of
        MXNet's operators believe addresses in their arguments.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no symbol; the message names the node.
    """
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES} bytes; it is no symbol")
    try:
        return _symbol_of(json.loads(text), operators)
    except (LookupError, TypeError, AttributeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"{path} is no symbol of MXNet: {type(error).__name__} {error}") from error
    except (ValueError, mx.MXNetError) as error:
        raise ValueError(f"{path} is no symbol of MXNet: {last_line(error)}") from error


def _symbol_of(content: dict[str, Any], operators: Container[str] | None) -> mx.sym.Symbol:
    complete = content.get("attrs", {}).get("mxnet_version", [None, 0])[1] >= _COMPLETE
    symbols: list[mx.sym.Symbol] = []
    for node in content["nodes"]:
        op, name = node["op"], node["name"]
        # MXNet 0.8 has two dictionaries, "param" and "attr".
        texts = {**node.get("attr", {}), **node.get("attrs", {}), **node.get("param", {})}
        if not all(isinstance(text, str) for text in (op, name, *texts, *texts.values())):
            raise ValueError(f"{name!r} has attributes other than texts")
        if node.get("subgraphs"):
            raise ValueError(f"{name!r} has a graph of its own, which is not supported")
        texts = {f"__{k}__" if _HINT.fullmatch(k) else k: text for k, text in texts.items()}
        inputs = [_output(symbols, entry, name) for entry in node["inputs"]]
        if op == "null":
            if inputs:
                raise ValueError(f"the variable {name!r} has inputs")
            symbols.append(variable(name, texts))
            continue
        if operators is not None and op not in operators:
            raise ValueError(f"{name!r} is of the operator {op!r}, which no export has")
        for key in ("num_outputs", "num_args"):
            if texts.get(key, "0").isdigit() and int(texts.get(key, "0")[:20]) > _MOST_OUTPUTS:
                raise ValueError(f"{name!r} ({op}) has {key}={texts[key]}")
        try:
            symbol = call(op, name, texts, inputs)
        except mx.MXNetError as error:
            raise ValueError(f"{name!r} ({op}): {last_line(error)}") from error
        if complete and count_inputs(symbol) != len(inputs):
            raise ValueError(
                f"{name!r} ({op}) has {len(inputs)} inputs; it takes {count_inputs(symbol)}"
            )
        symbols.append(symbol)
    heads = [_output(symbols, entry, "a head") for entry in content["heads"]]
    if not heads:
        raise ValueError("it has no heads")
    return heads[0] if len(heads) == 1 else mx.sym.Group(heads)


def _output(symbols: list[mx.sym.Symbol], entry: list[int], name: str) -> mx.sym.Symbol:
    """Return an output of an earlier node, which an entry of the file names by two numbers."""
    number, output = entry[:2]
    if number not in range(len(symbols)) or output not in range(len(symbols[number])):
        raise ValueError(f"{name} takes output {output} of node {number}, which is not before it")
    return symbols[number][output]


def _flat(outputs: Any) -> list[mx.sym.Symbol]:
    """Return the symbols in lists within lists, as Gluon does with a net's outputs."""
    if isinstance(outputs, (list, tuple)):
        return [symbol for output in outputs for symbol in _flat(output)]
    return [outputs]
