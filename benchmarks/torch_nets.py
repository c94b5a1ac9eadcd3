"""PyTorch's side of benchmarks/nets.py, run by an interpreter that has PyTorch and NumPy."""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class PyramidPooling(nn.Module):
    def __init__(self, pyramid, size):
        super().__init__()
        self.windows = [(size - (n - 1) * (size // n), size // n) for n in pyramid]

    def forward(self, x):
        return torch.cat([F.max_pool2d(x, w, s).flatten(1) for w, s in self.windows], 1)


def build(net):
    modules, channels = [], net["in_channels"]
    for kind, *values in net["layers"]:
        if kind == "pool":
            modules.append(nn.MaxPool2d(*values))
            continue
        filters, kernel, stride, pad = values
        modules += [nn.Conv2d(channels, filters, kernel, stride, pad), nn.PReLU(filters)]
        channels = filters
    modules.append(PyramidPooling(net["pyramid"], net["map_size"]))
    units = channels * sum(n * n for n in net["pyramid"])
    for size in net["hidden"]:
        modules += [nn.Linear(units, size), nn.PReLU(size), nn.Dropout(net["dropout"])]
        units = size
    return nn.Sequential(*modules, nn.Linear(units, net["classes"]))


for line in sys.stdin:
    request = json.loads(line)
    if "load" in request:
        folder = Path(request["load"])
        net = build(json.loads((folder / "net.json").read_text()))
        with torch.no_grad(), np.load(folder / "weights.npz") as weights:
            for parameter, key in zip(net.parameters(), weights.files):
                parameter.copy_(torch.from_numpy(weights[key]))
        x = torch.from_numpy(np.load(folder / "x.npy"))
        label = torch.zeros(len(x), dtype=torch.long)
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-9, momentum=0.9)
        net.eval()
        with torch.inference_mode():
            np.save(folder / "y.npy", net(x).numpy())
        answer = {}
    else:
        start = time.perf_counter()
        if request["time"] == "inference":
            with torch.inference_mode():
                net(x)
        else:
            net.train()
            optimizer.zero_grad()
            F.cross_entropy(net(x), label).backward()
            optimizer.step()
        answer = {"seconds": time.perf_counter() - start}
    answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(answer), flush=True)
