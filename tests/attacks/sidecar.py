"""Mutated sidecars of an export: refused, or values that the rest of the code can use."""

import contextlib
import copy
import json

import numpy as np

import zoo
from deeprect_gluon.export import export, load_export, read_sidecar

VALUES = (
    *(None, True, False, 0, 1, -1, 2, 3, 28, 28.0, 28.5, 1e-300, 1e300, 10**400, 2**63, 65536),
    *("", "x", "\ud800", "../x", "a/b", "\0", "net.json", "x" * 2000, [], [0.5], [1] * 4, {}),
    *(["a", "b"], ["a"] * 10, {"name": "deeprect_a"}, "operator", "onnx", "int8", [[1]], [None]),
)


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:3])
    for key, inner in items:
        if isinstance(inner, (dict, list)):
            yield from _places(inner, (*path, key))
        else:
            yield (*path, key)


def _mutate(random: np.random.Generator, content: dict) -> bytes:
    content = copy.deepcopy(content)
    for _ in range(random.integers(1, 4)):
        places = [path for path in _places(content) if path]
        *above, key = places[random.integers(len(places))]
        holder = content
        for step in above:
            holder = holder[step]
        if random.random() < 0.1:
            del holder[key]
        elif random.random() < 0.1 and isinstance(holder, dict):
            holder[str(VALUES[random.integers(len(VALUES))])] = 1
        else:
            holder[key] = copy.deepcopy(VALUES[random.integers(len(VALUES))])
    text = bytearray(json.dumps(content).encode())
    for _ in range(random.integers(3) if random.random() < 0.3 else 0):
        text[random.integers(len(text))] = random.integers(256)
    return bytes(text)


@contextlib.contextmanager
def attack(folder):
    net = zoo.get_model("deeprect_small14", pretrained=True)
    export(net, folder / "net")
    content = json.loads((folder / "net.json").read_text())
    image = np.zeros((40, 30, 1), np.uint8)

    def trial(random):
        (folder / "net.json").write_bytes(_mutate(random, content))
        try:
            sidecar = read_sidecar(folder / "net")
        except ValueError as error:
            str(error).encode()
            return "refused"
        json.dumps([sidecar.classes, sidecar.card], ensure_ascii=False).encode()
        rule = sidecar.preprocess
        if rule is not None and len(rule.mean) == 1 and rule.resize < 2000:
            assert np.isfinite(rule(image).asnumpy()).all()
        try:
            exported = load_export(folder / "net")
        except (ValueError, FileNotFoundError):
            return "read, not loaded"
        scores = exported(np.zeros((1, *sidecar.input_shape), np.float32))
        assert np.isfinite(scores).all()
        return "loaded"

    yield trial
