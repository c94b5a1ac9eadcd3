"""The arguments of MXNet's operators: their types and defaults, and their values as text."""

from __future__ import annotations

import functools
import re
from typing import Any, Callable

import mxnet as mx


def parse(op: str, name: str, text: str) -> Any:
    """Return the value of an operator's argument from any text that MXNet reads as that value.

    Parameters
    ----------
    op, name : str
        Of the operator and its argument.
    text : str
        Such as "(3,3)", "[3, 3]" or "(3L, 3L)" for a tuple, "True", "true" or "1" for a boolean.

    Returns
    -------
    int, float, bool, str, tuple or None

    Raises
    ------
    ValueError
        If the text has no such value.
    """
    kind = _arguments(op).get(name)
    if kind is None:
        return _guess(text)
    if text == "None" and "None" in kind:
        return None
    try:
        return _reader(kind)(text)
    except ValueError as error:
        raise ValueError(f"{op} has {name}={text!r}, where it takes: {kind}") from error


@functools.lru_cache(maxsize=None)
def defaults(op: str) -> dict[str, Any]:
    """Return the default values of an operator's arguments, by name."""
    found = {}
    for name, kind in _arguments(op).items():
        default = re.search(r"default=(.*)$", kind)
        if default:
            text = default[1].strip("'")
            found[name] = None if text == "None" else _reader(kind)(text)
    return found


@functools.lru_cache(maxsize=None)
def _arguments(op: str) -> dict[str, str]:
    """Return what MXNet says of the types of an operator's arguments, other than tensors."""
    found = mx.operator.get_operator_arguments(op)
    pairs = zip(found.names, found.types)
    return {name: kind for name, kind in pairs if "Symbol" not in kind and "NDArray" not in kind}


def _reader(kind: str) -> Callable[[str], Any]:
    """Return the function that reads the text of a value of a type, as MXNet names types."""
    if kind.startswith(("Shape", "tuple")):
        return _tuple
    if kind.startswith("boolean"):
        return _boolean
    if kind.startswith(("int", "long")):
        return int
    if kind.startswith(("float", "double", "real")):
        return float
    return str


def _tuple(text: str) -> tuple[int | float | None, ...]:
    found = re.fullmatch(r"\s*[(\[]?([^()\[\]]*)[)\]]?\s*", text)
    if not found:
        raise ValueError(f"{text!r} is no tuple")
    # Python 2 wrote 3L; MXNet reads it.
    parts = [part.strip().rstrip("L") for part in found[1].split(",")]
    return tuple(_number(part) for part in parts if part)


def _number(text: str) -> int | float | None:
    if text == "None":
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise ValueError(f"{text!r} is no boolean")
    return values[text.lower()]


def _guess(text: str) -> Any:
    """Return the boolean or number in a text, or it: libraries do not declare their arguments."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return _number(text)
    except ValueError:
        return text
