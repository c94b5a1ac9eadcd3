"""Call the operators with whatever fits or does not: right against float64, or refused."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1]))
import conv_prelu_reference
import prelu_reference
from test_dense import expected as dense_expected
from test_max_pool import reference as pool_reference

FLOATS = ["float16", "float32", "float64"]
TYPES = [*FLOATS, "int8", "uint8", "int32", "int64"]
SPECIALS = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 6e4]
NO_NUMBERS = [1.5, "channels", None, (1, 1), 10**12, -(10**12), True, "", "1 "]
MODES: dict[str, dict[str, bool]] = {
    "hybridized": {},
    "static": {"static_alloc": True, "static_shape": True},
}
FUNCTIONS: dict[str, Callable] = {
    "prelu": dg.prelu,
    "conv_prelu": dg.conv_prelu,
    "dense": dg.dense,
    "max_pool": dg.max_pool,
}
REFUSALS = (mx.MXNetError, TypeError, ValueError)


def pick(random: np.random.Generator, values) -> Any:
    return values[random.integers(len(values))]


# ---- what fits ----


def draw(random: np.random.Generator, name: str) -> tuple[dict, dict]:
    """Return shapes of the inputs, in their order, and attributes that fit."""

    def extent(least: int, most: int) -> int:
        return int(random.integers(least, most + 1))

    if name == "prelu":
        shape = [extent(0 if random.random() < 0.1 else 1, 9) for _ in range(extent(1, 6))]
        if random.random() < 0.1:
            shape = [*shape[:1], pick(random, [33, 1000, 20000]), *shape[1:2]]
        axis = extent(-len(shape), len(shape) - 1)
        slopes = 1 if random.random() < 0.3 else shape[axis]
        return {"data": tuple(shape), "alpha": (slopes,)}, {"axis": axis}
    images, channels, outputs = extent(1, 4), extent(1, 40), extent(1, 40)
    if name == "dense":
        rest = [extent(1, 12) for _ in range(extent(1, 3))]
        weight = (outputs, int(np.prod(rest)))
        return {"data": (images, *rest), "weight": weight, "bias": (outputs,)}, {}
    if name == "conv_prelu":
        kernel = extent(2, 3)
        pad = extent(0, kernel - 1)
        data = (images, channels, *(extent(max(1, kernel - 2 * pad), 12) for _ in range(2)))
        shapes = {
            "data": data,
            "weight": (outputs, channels, kernel, kernel),
            "bias": (outputs,),
            "alpha": (pick(random, [1, outputs]),),
        }
        if random.random() < 0.3:
            del shapes["alpha"]
        return shapes, {"pad": pad}
    window, stride = extent(1, 5), extent(1, 5)
    data = (images, channels, extent(window, 14), extent(window, 14))
    return {"data": data}, {"window": window, "stride": stride}


def fits(name: str, shapes: dict, types: dict, attributes: dict, np_shape: bool) -> bool:
    """Return whether a call must be taken."""
    empty = any(0 in shape for shape in shapes.values())
    if not all(shapes.values()) or (empty and not np_shape):
        return False
    if not all(type(value) is int for value in attributes.values()):
        return False
    data = shapes["data"]
    if name == "prelu":
        axis, kinds = attributes["axis"], (types["data"], types["alpha"])
        return (
            types["data"] in FLOATS
            and (kinds[0] == kinds[1] or kinds == ("float16", "float32"))
            and -len(data) <= axis < len(data)
            and shapes["alpha"] in [(1,), (data[axis],)]
        )
    if set(types.values()) != {"float32"}:
        return False
    if name == "max_pool":
        window, stride = attributes["window"], attributes["stride"]
        sizes = 1 <= window <= 999999 and 1 <= stride <= 999999
        return sizes and len(data) == 4 and min(data[2:]) >= window
    weight, bias = shapes["weight"], shapes["bias"]
    if len(data) < 2 or 0 in data[1:] or 0 in weight or bias != weight[:1]:
        return False
    if name == "dense":
        return weight[1:] == (np.prod(data[1:]),)
    pad, kernel = attributes["pad"], weight[-1]
    return (
        len(data) == len(weight) == 4
        and weight[1:] == (data[1], kernel, kernel)
        and kernel in (2, 3)
        and 0 <= pad < kernel
        and min(data[2:]) + 2 * pad >= kernel
        and shapes.get("alpha", (1,)) in [(1,), weight[:1]]
    )


def reference(name: str, arrays: dict, dy: np.ndarray, attributes: dict) -> tuple[list, list]:
    """Return the output and the gradients, and bounds of the magnitudes that they are sums of."""
    x = arrays["data"]
    if name == "prelu":
        slopes, axis = arrays["alpha"], attributes["axis"]
        y = prelu_reference.prelu(x, slopes, axis)
        dx, dalpha = prelu_reference.prelu_gradients(dy, x, slopes, axis)
        terms = np.abs(prelu_reference.prelu_gradients(np.abs(dy), x, slopes, axis)[1])
        return [y, dx, dalpha], [np.abs(y), np.abs(dx), terms]
    if name == "dense":
        rows = x.reshape(len(x), -1)
        values, sizes = dense_expected(rows, arrays["weight"], arrays["bias"], dy)
        for list_of in (values, sizes):
            list_of[1] = list_of[1].reshape(x.shape)
        return values, sizes
    if name == "max_pool":
        window, stride = attributes["window"], attributes["stride"]
        y, dx = pool_reference(x, dy, window, stride)
        return [y, dx], [np.abs(y), pool_reference(x, np.abs(dy), window, stride)[1]]
    weight, bias, pad = arrays["weight"], arrays["bias"], attributes["pad"]
    slopes = arrays.get("alpha", np.zeros(1, np.float32))
    z, y = conv_prelu_reference.forward(x, weight, bias, slopes, pad)
    values = [y, *conv_prelu_reference.backward(dy, x, weight, slopes, pad, z)]
    size, _ = conv_prelu_reference.forward(*map(np.abs, (x, weight, bias, slopes)), pad)
    backward = (*map(np.abs, (dy, x, weight, slopes)), pad, np.where(z > 0, size, -size))
    sizes = [size, *map(np.abs, conv_prelu_reference.backward(*backward))]
    # Winograd's errors are those of the largest terms of a tile.
    sizes = [np.full(s.shape, 100 * s.max(initial=0)) for s in sizes]
    count = len(arrays) + 1
    return values[:count], sizes[:count]


def check(got: np.ndarray, want: np.ndarray, size: np.ndarray) -> None:
    """Compare but for rounding in the type of `got`."""
    info = np.finfo(got.dtype)
    assert got.shape == want.shape
    with np.errstate(over="ignore", invalid="ignore"):
        want = np.where(np.abs(want) >= info.max, np.sign(want) * np.inf, want)
        got = np.where(np.abs(got) >= info.max, np.sign(got) * np.inf, got.astype("float64"))
    tolerance = 8 * info.eps * np.nan_to_num(size, posinf=0) + 8 * info.tiny
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    assert (np.abs(got[finite] - want[finite]) <= tolerance[finite]).all()


# ---- calls ----


class Graph(mx.gluon.HybridBlock):
    """The sum of some calls of a function."""

    def __init__(self, function: Callable, attributes: dict, consumers: int):
        super().__init__()
        self.call = lambda *tensors: function(*tensors, **attributes)
        self.consumers = consumers

    def hybrid_forward(self, F, *tensors):
        outputs = [self.call(*tensors) for _ in range(self.consumers)]
        return F.add_n(*outputs) if self.consumers > 1 else outputs[0]


def values_of(random: np.random.Generator, shape: tuple, dtype: str, special: bool) -> np.ndarray:
    values = random.standard_normal(shape)
    if special:
        values = np.where(random.random(shape) < 0.1, random.choice(SPECIALS, shape), values)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(values).astype(dtype)


def as_view(values: np.ndarray) -> mx.nd.NDArray:
    """Return an NDArray whose memory lies inside a larger one."""
    ends = np.full_like(values[:1], 7)
    base = mx.nd.array(np.concatenate([ends, values, ends]), dtype=values.dtype)
    return base[len(ends) : len(ends) + len(values)]


def hostile_shape(random: np.random.Generator, shape: tuple) -> tuple:
    at = int(random.integers(len(shape) + 1))
    return pick(
        random,
        [
            (),
            shape[:at] + shape[at + 1 :],
            (*shape[:at], int(random.integers(4)), *shape[at:]),
            (*shape[:at], int(random.integers(9)), *shape[at + 1 :]),
            shape[::-1],
        ],
    )


def call(random: np.random.Generator) -> str:
    name = pick(random, list(FUNCTIONS))
    np_shape = bool(random.random() < 0.7)
    shapes, attributes = draw(random, name)
    types = dict.fromkeys(shapes, pick(random, FLOATS) if name == "prelu" else "float32")
    if name == "prelu" and types["data"] == "float16":
        types["alpha"] = pick(random, ["float16", "float32"])
    for _ in range(int(random.integers(0, 3))):
        which = pick(random, list(shapes))
        change = random.random()
        if change < 0.6:
            shapes[which] = hostile_shape(random, shapes[which])
        elif change < 0.8:
            types[which] = pick(random, TYPES)
        elif attributes:
            value = pick(random, [*NO_NUMBERS, *map(int, random.integers(-9, 9, 9))])
            attributes[pick(random, list(attributes))] = value
    fit = fits(name, shapes, types, attributes, np_shape)
    special = name in ("prelu", "max_pool") and random.random() < 0.5
    arrays = {k: values_of(random, s, types[k], special and k == "data") for k, s in shapes.items()}
    with mx.util.np_shape(np_shape):
        if not fit:
            try:
                made = [mx.nd.array(a, dtype=a.dtype) for a in arrays.values()]
                FUNCTIONS[name](*made, **attributes).wait_to_read()
            except REFUSALS:
                return "refused"
            raise AssertionError(f"taken: {name}{shapes} {types} {attributes}")
        compare(random, name, arrays, attributes)
    return "right"


def compare(random: np.random.Generator, name: str, arrays: dict, attributes: dict) -> None:
    """Compute forward and backward in some mode, and compare."""
    mode = pick(random, ["imperative", *MODES])
    consumers = pick(random, [1, 1, 1, 2, 9])
    net = Graph(FUNCTIONS[name], attributes, consumers)
    if mode in MODES:
        net.hybridize(**MODES[mode])
    dg.native.set_threads(int(random.integers(1, 4)))
    given = [mx.nd.array(a, dtype=a.dtype) for a in arrays.values()]
    if random.random() < 0.5 and len(arrays["data"]):
        given[0] = as_view(arrays["data"])
    requests = [pick(random, ["write", "add", "null"]) for _ in given]
    for array, request in zip(given, requests):
        if request != "null":
            array.attach_grad(request)
    with np.errstate(invalid="ignore", over="ignore"):
        y = net(*given).asnumpy()
        dy = values_of(random, y.shape, y.dtype, False)
        if name == "conv_prelu":  # rounding decides the branch
            slopes = arrays.get("alpha", np.zeros(1))
            rest = (arrays["weight"], arrays["bias"], slopes, attributes["pad"])
            dy[np.abs(conv_prelu_reference.forward(arrays["data"], *rest)[0]) < 1e-3] = 0
        times = 1 + ("add" in requests)
        for _ in range(times):
            with mx.autograd.record():
                y = net(*given)
            if set(requests) != {"null"}:
                y.backward(mx.nd.array(dy, dtype=dy.dtype))
        y = y.asnumpy()
        if consumers > 1 and y.dtype == np.float16:
            return  # MXNet's own sum of the branches rounds, and overflows, as it likes
        values, sizes = reference(name, arrays, dy, attributes)
        check(y, consumers * values[0], consumers * sizes[0])
        for array, request, value, size in zip(given, requests, values[1:], sizes[1:]):
            if request != "null":
                factor = consumers * (times if request == "add" else 1)
                check(array.grad.asnumpy(), factor * value, factor * size)


def wrong_kinds(random: np.random.Generator) -> str:
    """Call a function with what is no array, or with too few or too many arguments."""
    name = pick(random, list(FUNCTIONS))
    shapes, attributes = draw(random, name)
    if name == "conv_prelu":
        shapes.pop("alpha", None)  # None is allowed in its place
    arguments: list = [mx.nd.ones([max(e, 1) for e in s]) for s in shapes.values()]
    strangers = [
        np.ones((2, 3)),
        None,
        0.25,
        "data",
        [1.0, 2.0],
        mx.sym.var("data"),
        mx.np.ones((2, 3)),
        mx.nd.ones((2, 3)).tostype("csr"),
        mx.nd.ones((2, 3)).tostype("row_sparse"),
        attributes,
    ]
    at = int(random.integers(len(arguments)))
    if random.random() < 0.3:
        arguments.insert(at, pick(random, strangers))
    elif random.random() < 0.3:
        del arguments[at:]
    else:
        arguments[at : at + 1] = [pick(random, strangers)]
    try:
        y = FUNCTIONS[name](*arguments, **attributes)
        y.wait_to_read()
    except REFUSALS:
        return "refused"
    raise AssertionError(f"taken: {name} {arguments} {attributes}")


# ---- graphs ----


def forged_graph(random: np.random.Generator) -> str:
    """Change a graph's nodes; infer, bind and run it."""
    name = pick(random, list(FUNCTIONS))
    shapes, attributes = draw(random, name)
    with mx.util.np_shape(True):
        graph = json.loads(FUNCTIONS[name](*map(mx.sym.var, shapes), **attributes).tojson())
    nodes = graph["nodes"]
    operators = [node for node in nodes if node["op"].startswith("deeprect")]
    for _ in range(int(random.integers(0, 3))):
        node = pick(random, operators)
        inputs, known = node["inputs"], list(range(nodes.index(node)))
        change = int(random.integers(5))
        if change == 0 and inputs:
            del inputs[int(random.integers(len(inputs)))]
        elif change == 1:
            inputs.insert(int(random.integers(len(inputs) + 1)), [pick(random, known), 0, 0])
        elif change == 2 and inputs:
            inputs[int(random.integers(len(inputs)))] = [pick(random, known), 0, 0]
        elif change == 3:
            node["op"] = "deeprect_" + pick(random, [*FUNCTIONS, "sgd_update"])
        else:
            texts = ["", "1", "2", "-1", "prelu", "relu", "1e9", "nan", "\u00e9", "9" * 400]
            keys = ["axis", "pad", "activation", "window", "stride", "lr", "slope"]
            node.setdefault("attrs", {})[pick(random, keys)] = pick(random, texts)
    if random.random() < 0.5:
        which = pick(random, list(shapes))
        shapes[which] = hostile_shape(random, shapes[which]) or (1,)
    if random.random() < 0.1:
        which = pick(random, list(shapes))
        shapes[which] = tuple(int(e) for e in random.choice([2**16, 2**31 - 1, 3], 4))
    with mx.util.np_shape(True):
        try:
            symbol = mx.sym.load_json(json.dumps(graph))
            used = {k: s for k, s in shapes.items() if k in symbol.list_arguments()}
            symbol.infer_type()
            inferred = symbol.infer_shape(**used)
            if inferred[1] is None or np.prod([*map(float, inferred[1][0])]) > 1e6:
                return "inferred"
            if max(float(np.prod(s)) for s in used.values()) > 1e6:
                return "inferred"
            arrays = {k: mx.nd.random.normal(shape=s) for k, s in used.items()}
            executor = symbol.bind(mx.cpu(), arrays, {k: mx.nd.zeros(s) for k, s in used.items()})
            outputs = executor.forward(is_train=True)
            executor.backward(outputs)
            mx.nd.waitall()
        except REFUSALS:
            return "refused"
    assert [tuple(y.shape) for y in outputs] == list(map(tuple, inferred[1]))
    return "ran"


@contextlib.contextmanager
def attack(folder: Path) -> Iterator[Callable[[np.random.Generator], str]]:
    def trial(random: np.random.Generator) -> str:
        kind = pick(random, [call, call, call, wrong_kinds, forged_graph])
        return f"{kind.__name__} {kind(random)}"

    yield trial
