"""Parse, check, write and search the index of a store: the JSON list of its published nets."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterable

from .places import MOST_BYTES


def title(entry: dict) -> str:
    """Return "NAME-ACTIVATION-DATASET" of an entry, which all versions of it share."""
    return f"{entry['name']}-{entry['config']['activation']}-{entry['dataset']}"


def versions(index: dict) -> list[tuple[str, int]]:
    """Return title and version of each entry."""
    return [(title(entry), entry["version"]) for entry in index["entries"]]


def parse(content: bytes, where: str) -> dict:
    """Parse the content of an index file, and check it against `index.schema.json`.

    Parameters
    ----------
    content : bytes
    where : str
        The name of the file in errors.

    Raises
    ------
    ValueError
        If the content is too long or not JSON, does not fit the schema, contradicts itself or holds
        an entry twice.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"the index {where} has more than {MOST_BYTES:,} bytes")
    try:
        index = json.loads(content)
        # Fails where a value is nested too deeply, not finite, or half of a surrogate pair.
        json.dumps(index, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the index {where} is not JSON ({error}); publish it again") from error
    _check_schema(index, where)
    for entry in index["entries"]:
        problem = _contradiction(entry)
        if problem:
            raise ValueError(f"the index {where} contradicts itself: {title(entry)} has {problem}")
    for (name, version), times in Counter(versions(index)).items():
        if times > 1:
            raise ValueError(f"the index {where} holds version {version} of {name} twice")
    return index


def _check_schema(index: object, where: str) -> None:
    # Only the first error: there may be millions, and each has a message as long as its value.
    for error in _validator().iter_errors(index):
        message = f"{error.json_path}: {error.message}"
        message = message if len(message) < 300 else f"{message[:150]} … {message[-150:]}"
        raise ValueError(f"the index {where} is not valid at {message}")


@lru_cache(maxsize=None)
def _validator() -> Any:
    # Imported here because nets without weights need no schema.
    import jsonschema

    # In draft 4 alone, 28.0 is no integer.
    checker = jsonschema.Draft4Validator.TYPE_CHECKER
    validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=checker)
    return validator(json.loads(Path(__file__).with_name("index.schema.json").read_text()))


def _contradiction(entry: dict) -> str | None:
    """Return what the schema cannot express, if it is wrong."""
    config, rule = entry["config"], entry["preprocess"]
    if entry["name"] != config["name"]:
        return f"the configuration of {config['name']}"
    if len(entry["classes"]) != config["classes"]:
        return f"{len(entry['classes'])} names for {config['classes']} classes"
    if not len(rule["mean"]) == len(rule["std"]) == config["in_channels"]:
        return f"{len(rule['mean'])} means and {len(rule['std'])} deviations of channels"
    if rule["size"] != config["input_size"] or rule.get("resize", rule["size"]) < rule["size"]:
        return f"images of {rule['size']} pixels for inputs of {config['input_size']}"
    return None


def dump(index: dict) -> bytes:
    """Return the content of an index file."""
    return (json.dumps(index, indent=1) + "\n").encode()


def latest(entries: Iterable[dict]) -> list[dict]:
    """Return the newest version of each net, in the order in which they were first published."""
    newest: dict = {}
    for entry in entries:
        known = newest.setdefault(title(entry), entry)
        if entry["version"] > known["version"]:
            newest[title(entry)] = entry
    return list(newest.values())


def select(
    entries: Iterable[dict], name: str, weights: str | None = None, activation: str | None = None
) -> dict:
    """Return the entry that arguments of `zoo.get_model` select.

    Parameters
    ----------
    entries : iterable of dict
    name : str
    weights : str, optional
        "dataset" or "dataset@version". The default is the dataset that was published first for
        this net, so that a new publication never changes what a name selects.
    activation : str, optional
        By default "prelu", as for an untrained net.

    Raises
    ------
    TypeError
        If `weights` is something else.
    LookupError
        If there is none. The message lists those that exist, and says how to publish one.
    """
    if not isinstance(weights, (str, type(None))):
        raise TypeError(f"{weights!r} names no weights; give True, 'dataset' or 'dataset@version'")
    activation = activation or "prelu"
    dataset, _, version = (weights or "").partition("@")
    named = [e for e in entries if e["name"] == name]
    found = [
        e
        for e in named
        if e["config"]["activation"] == activation
        and (not dataset or e["dataset"] == dataset)
        and (not version or str(e["version"]) == version)
    ]
    if not found:
        what = f"{name} with activation={activation!r}" + (f" for {weights!r}" if weights else "")
        known = ", ".join(f"{title(e)}@{e['version']}" for e in named)
        raise LookupError(
            f"no trained weights of {what} are published"
            + (f"; there are {known}. " if known else ". ")
            + "To publish some, train the net (scripts/train_fashion_mnist.py trains on "
            "Fashion-MNIST) and run 'python -m zoo publish CHECKPOINT --to STORE'"
        )
    return latest(e for e in found if e["dataset"] == found[0]["dataset"])[0]
