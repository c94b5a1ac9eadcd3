"""PyTorch's side of benchmarks/prelu.py, run by an interpreter that has PyTorch and NumPy.

Reads one request a line from standard input, JSON, and answers each with one line:
{"load": folder} takes x, alpha and dy from .npy files there and writes y, dx and dalpha beside
them; {"time": "forward" or "both", "calls": n} answers the seconds for a call.
"""

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional


def backward(x, alpha, dy):
    x.grad = alpha.grad = None
    y = torch.nn.functional.prelu(x, alpha)
    y.backward(dy)
    return y


def forward(x, alpha, dy):
    with torch.no_grad():
        return torch.nn.functional.prelu(x, alpha)


x = alpha = dy = None
for line in sys.stdin:
    request = json.loads(line)
    if "load" in request:
        folder = request["load"]
        x, alpha, dy = (
            torch.from_numpy(np.load(f"{folder}/{n}.npy")) for n in ("x", "alpha", "dy")
        )
        x.requires_grad_()
        alpha.requires_grad_()
        y = backward(x, alpha, dy)
        for name, value in {"y": y.detach(), "dx": x.grad, "dalpha": alpha.grad}.items():
            np.save(f"{folder}/{name}.npy", value.numpy())
        print(torch.__version__, flush=True)
    else:
        call = forward if request["time"] == "forward" else backward
        call(x, alpha, dy)
        start = time.perf_counter()
        for _ in range(request["calls"]):
            call(x, alpha, dy)
        print((time.perf_counter() - start) / request["calls"], flush=True)
