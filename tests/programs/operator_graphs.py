"""Infer the shapes of graphs that lack some, and of forged ones: right, or an MXNetError.

It is a program of its own: memory that MXNet corrupts ends a process.
"""

import itertools
import json

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

# The inputs and output of every function, and what of it can be inferred.
ENTRIES = [
    (
        lambda x, w, b, a: dg.conv_prelu(x, w, b, a, pad=1),
        {"x": (2, 3, 6, 7), "w": (4, 3, 3, 3), "b": (4,), "a": (4,)},
        (2, 4, 6, 7),
    ),
    (
        lambda x, w, b: dg.conv_prelu(x, w, b),
        {"x": (2, 3, 6, 7), "w": (4, 3, 2, 2), "b": (4,)},
        (2, 4, 5, 6),
    ),
    (dg.dense, {"x": (2, 3, 5), "w": (4, 15), "b": (4,)}, (2, 4)),
    (dg.prelu, {"x": (2, 3, 6, 7), "a": (3,)}, (2, 3, 6, 7)),
    (lambda x: dg.max_pool(x, 2, 2), {"x": (2, 3, 6, 7)}, (2, 3, 3, 3)),
]
NODES = {
    "deeprect_conv_prelu": {"pad": "1"},
    "deeprect_dense": {},
    "deeprect_prelu": {},
    "deeprect_max_pool": {"window": "2", "stride": "2"},
    "deeprect_sgd_update": {"lr": "1", "wd": "0", "momentum": "1", "rescale_grad": "1"},
}


def outcome(infer):
    """Return the result or, if MXNet refuses, None."""
    try:
        return infer()
    except RuntimeError:  # MXNetError is one, and simple_bind raises others
        return None


def lacking_shapes():
    for (function, shapes, output), np_shape in itertools.product(ENTRIES, (False, True)):
        names = list(shapes)
        for unknown in itertools.product((False, True), repeat=len(names) - 1):
            lacking = {name for name, lacks in zip(names[1:], unknown) if lacks}
            known = {name: shape for name, shape in shapes.items() if name not in lacking}
            with mx.util.np_shape(np_shape):
                y = function(*map(mx.sym.var, names))
                for infer in (y.infer_shape, y.infer_shape_partial):
                    wanted = None if "w" in lacking else (list(shapes.values()), [output], [])
                    found = outcome(lambda infer=infer, known=known: infer(**known))
                    assert found == wanted, (names, known, found)


def forged_graphs():
    variables = [
        {"op": "null", "name": f"v{i}", "attrs": {"__shape__": "(2, 3, 4, 4)"}, "inputs": []}
        for i in range(6)
    ]
    for (op, attributes), count in itertools.product(NODES.items(), range(7)):
        node = {"op": op, "name": "node", "attrs": attributes}
        node["inputs"] = [[i, 0, 0] for i in range(count)]
        graph = {"nodes": [*variables, node], "arg_nodes": [*range(6)], "heads": [[6, 0, 0]]}
        graph["attrs"] = {"mxnet_version": ["int", 10901]}
        y = mx.sym.load_json(json.dumps(graph))
        assert y.list_arguments() + y.list_auxiliary_states() == [f"v{i}" for i in range(count)]
        types, shapes = outcome(y.infer_type), outcome(y.infer_shape)
        right = count == {"deeprect_conv_prelu": 4, "deeprect_prelu": 2}.get(op, 3)
        right = count == 1 if op == "deeprect_max_pool" else right
        assert (types is not None) == right, (op, count, types)
        fits = right and op in ("deeprect_max_pool", "deeprect_sgd_update")
        assert (shapes is not None) == fits, (op, count, shapes)
        outcome(lambda y=y: y.simple_bind(mx.cpu(), grad_req="null").forward()[0].asnumpy())


lacking_shapes()
forged_graphs()
