"""Writes symbols and parameters as MXNet 0.8 wrote them."""

import json
import re
import struct

import numpy as np

# Version 0.8 kept these out of the graph's nodes.
STATES = {"BatchNorm": 2}


def old_symbol(symbol):
    """Return a symbol's text: "param" and "attr", no states, no version, tuples without spaces."""
    content = json.loads(symbol.tojson())
    nodes, place = [], {}
    states = {
        number
        for node in content["nodes"]
        for number, *_ in node["inputs"][len(node["inputs"]) - STATES.get(node["op"], 0) :]
    }
    for number, node in enumerate(content["nodes"]):
        if number in states:
            continue
        place[number] = len(nodes)
        attrs = node.get("attrs", {})
        hints = {k.strip("_"): v for k, v in attrs.items() if k in ("__lr_mult__", "__wd_mult__")}
        param = {k: re.sub(r", ?", ",", v) for k, v in attrs.items() if not k.startswith("__")}
        nodes.append(
            {
                "op": node["op"],
                "param": param,
                "name": node["name"],
                "inputs": [[place[i], output] for i, output, *_ in node["inputs"] if i in place],
                "backward_source_id": -1,
                **({"attr": hints} if hints else {}),
            }
        )
    return json.dumps(
        {
            "nodes": nodes,
            "arg_nodes": [i for i, node in enumerate(nodes) if node["op"] == "null"],
            "heads": [[place[i], output] for i, output, *_ in content["heads"]],
        }
    )


def old_params(arrays, version):
    """Return the bytes of a file of float32 parameters: version 0 (0.8) or 1 (0.9 to 0.11)."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        if version:
            parts.append(struct.pack(f"<II{array.ndim}q", 0xF993FAC8, array.ndim, *array.shape))
        else:
            parts.append(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
        parts.append(struct.pack("<iii", 1, 0, 0) + np.ascontiguousarray(array, "<f4").tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        parts.append(struct.pack("<Q", len(name)) + name.encode())
    return b"".join(parts)
