"""What lies beside an exported net: `PATH.json` says what its files are and what they mean.

The format is `sidecar.schema.json`; docs/deploy.md explains it. Whoever made an export, reading
this file is safe: it is small, checked against the schema, and names files of its own folder only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import jsonschema
import mxnet as mx

from ..files import sha256, write_text_atomically
from ..images import Preprocess
from ..models import DeepRect
from ..version import __version__

SCHEMA = json.loads(Path(__file__).with_name("sidecar.schema.json").read_text())
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
# Class names, the card and the configuration of the largest net are a small part of that.
MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class File:
    """A file beside the sidecar, as it was written."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Sidecar:
    """What an export's files are, and the way from an image to the name of a class.

    Attributes
    ----------
    form : {"operator", "portable", "onnx"}
        Which runtime loads the files: MXNet with this package, any MXNet, or one for ONNX.
    precision : {"float32", "float16", "int8"}
        Of the stored weights. Input and output are float32 in each of them.
    files : tuple of File
        Symbol and parameters; or the ONNX model, and its external data if it has such.
    input_shape : tuple of int or None
        (channels, height, width) of the input `data`, before which the batch goes.
    config : dict or None
        `deeprect_gluon.models.get_model(**config)` builds the net.
    classes : tuple of str or None
        Their names, in the order of the scores.
    preprocess : Preprocess or None
        From images to the input.
    card : str or None
        The zoo's model card, Markdown.
    version : str
        Of the code that wrote it.
    """

    form: str
    precision: str
    files: tuple[File, ...]
    input_shape: tuple[int, ...] | None = None
    config: dict | None = None
    classes: tuple[str, ...] | None = None
    preprocess: Preprocess | None = None
    card: str | None = None
    version: str = __version__


def sidecar_path(path: Path | str) -> Path:
    """Return the sidecar of the export `path`, which may also be the path of one of its files."""
    path = Path(path)
    for ending in ("-symbol.json", "-0000.params", ".onnx.data", ".onnx", ".json"):
        if path.name.endswith(ending):
            return path.with_name(f"{path.name[: -len(ending)]}.json")
    return path.with_name(f"{path.name}.json")


def input_shape(net: mx.gluon.Block) -> tuple[int, ...] | None:
    """Return the (channels, height, width) that a net takes, if its configuration says so."""
    if not isinstance(net, DeepRect):
        return None
    return (net.config["in_channels"], net.config["input_size"], net.config["input_size"])


def write_sidecar(
    net: mx.gluon.Block,
    path: Path | str,
    files: Sequence[Path],
    form: str,
    precision: str = "float32",
    shape: tuple[int, ...] | None = None,
) -> Path:
    """Write `PATH.json` for files that lie beside it. What the net does not know is null.

    Parameters
    ----------
    net : Block
        Of a `DeepRect`, its `config`, `classes`, `preprocess` and `card`; of others, what has the
        type that a `DeepRect`'s has.
    path : Path or str
        The files' common beginning.
    files : sequence of Path
    form, precision : str
        See `Sidecar`.
    shape : tuple of int, optional
        (channels, height, width); by default that of the net's configuration.

    Raises
    ------
    ValueError
        If the values do not fit each other, as a reader would find.
    """
    classes, rule = getattr(net, "classes", None), getattr(net, "preprocess", None)
    # Other libraries' nets have attributes of these names and other meanings.
    classes = classes if isinstance(classes, (list, tuple)) else None
    rule = rule if isinstance(rule, Preprocess) else None
    content = {
        "schema": 1,
        "version": __version__,
        "form": form,
        "precision": precision,
        "files": [_describe(file) for file in files],
        "input_shape": shape or input_shape(net),
        "config": net.config if isinstance(net, DeepRect) else None,
        "classes": classes and list(classes),
        "preprocess": rule
        and {
            "channels": len(rule.mean),
            "size": rule.size,
            "resize": rule.resize or rule.size,
            "border": rule.border,
            "mean": list(map(float, rule.mean)),
            "std": list(map(float, rule.std)),
        },
        "card": getattr(net, "card", None),
    }
    text = json.dumps(content, indent=1) + "\n"
    target = Path(f"{path}.json")
    _parse(text.encode(), target)
    write_text_atomically(target, text)
    return target


def read_sidecar(path: Path | str) -> Sidecar:
    """Read and check the sidecar of an export, without its files (`verify_files` checks those).

    Parameters
    ----------
    path : Path or str
        The export's path, with or without `.json`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is not a valid one; the message says where.
    """
    path = sidecar_path(path)
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES} bytes; it is no export's sidecar")
    return _parse(content, path)


def verify_files(sidecar: Sidecar, path: Path | str) -> list[Path]:
    """Check size and SHA-256 of an export's files; return where they are.

    Raises
    ------
    FileNotFoundError
        If one is missing.
    ValueError
        If one is not the file that was exported.
    """
    folder = sidecar_path(path).parent
    for file in sidecar.files:
        found = _describe(folder / file.file)
        if (found["bytes"], found["sha256"]) != (file.bytes, file.sha256):
            raise ValueError(
                f"{folder / file.file} is not the exported file: it has {found['bytes']} bytes and "
                f"SHA-256 {found['sha256']}, not {file.bytes} bytes and {file.sha256}; "
                "export the net again"
            )
    return [folder / file.file for file in sidecar.files]


def _describe(path: Path) -> dict:
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _number(text: str) -> int | float:
    """Return a whole number for 28.0 too: in JSON it is the same number as 28."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _parse(content: bytes, where: Path) -> Sidecar:
    try:
        values = json.loads(content, parse_float=_number, parse_constant=_refuse_constant)
        json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"the sidecar {where} is not JSON ({error}); export the net again"
        ) from error
    fault = jsonschema.exceptions.best_match(_VALIDATOR.iter_errors(values))
    if fault is not None:
        message = fault.message if len(fault.message) < 300 else f"{fault.message[:300]}…"
        raise ValueError(f"the sidecar {where} is not valid at {fault.json_path}: {message}")
    problem = _contradiction(values)
    if problem:
        raise ValueError(f"the sidecar {where} contradicts itself: {problem}")
    rule = values["preprocess"]
    return Sidecar(
        form=values["form"],
        precision=values["precision"],
        files=tuple(File(**file) for file in values["files"]),
        input_shape=values["input_shape"] and tuple(values["input_shape"]),
        config=values["config"],
        classes=values["classes"] and tuple(values["classes"]),
        preprocess=rule
        and Preprocess(
            rule["size"],
            tuple(map(float, rule["mean"])),
            tuple(map(float, rule["std"])),
            rule["resize"],
            rule["border"],
        ),
        card=values["card"],
        version=values["version"],
    )


def _contradiction(values: dict) -> str | None:
    """Return what the schema cannot express, if it is wrong."""
    files, shape, config, classes, rule = (
        values[key] for key in ("files", "input_shape", "config", "classes", "preprocess")
    )
    if values["form"] != "onnx" and len(files) != 2:
        return f"{len(files)} files, where symbol and parameters are two"
    if len({file["file"] for file in files}) < len(files):
        return f"{files[0]['file']} is named twice"
    if config and shape != [config["in_channels"], config["input_size"], config["input_size"]]:
        return f"an input of shape {shape} for the configuration {config}"
    if config and classes and len(classes) != config["classes"]:
        return f"{len(classes)} names for {config['classes']} classes"
    if not rule:
        return None
    if not len(rule["mean"]) == len(rule["std"]) == rule["channels"]:
        return f"mean {rule['mean']} and std {rule['std']} for {rule['channels']} channels"
    if shape and shape != [rule["channels"], rule["size"], rule["size"]]:
        return f"images of {rule['channels']}x{rule['size']}x{rule['size']} for an input of {shape}"
    if rule["resize"] < rule["size"]:
        return f"a crop of {rule['size']} pixels from a shorter side of {rule['resize']}"
    return None
