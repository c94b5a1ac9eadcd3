"""Parse, check, write and search the index of a store: the JSON list of its published nets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterable


def title(entry: dict) -> str:
    """Return "NAME-ACTIVATION-DATASET" of an entry, which all versions of it share."""
    return f"{entry['name']}-{entry['config']['activation']}-{entry['dataset']}"


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
        If the content is not JSON, does not fit the schema, or holds an entry twice.
    """
    try:
        index = json.loads(content)
    except ValueError as error:
        raise ValueError(f"the index {where} is not JSON ({error}); publish it again") from error
    _check_schema(index, where)
    seen = set()
    for entry in index["entries"]:
        key = (title(entry), entry["version"])
        if key in seen:
            raise ValueError(f"the index {where} holds version {key[1]} of {key[0]} twice")
        seen.add(key)
    return index


def _check_schema(index: object, where: str) -> None:
    # Imported here because nets without weights need no schema.
    import jsonschema

    schema = json.loads(Path(__file__).with_name("index.schema.json").read_text())
    errors = jsonschema.Draft202012Validator(schema).iter_errors(index)
    error = jsonschema.exceptions.best_match(errors)
    if error is not None:
        raise ValueError(f"the index {where} is not valid at {error.json_path}: {error.message}")


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
    LookupError
        If there is none. The message lists those that exist, and says how to publish one.
    """
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
