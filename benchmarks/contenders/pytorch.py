"""The same network in PyTorch, as it is ("eager") or by torch.compile ("compiled")."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from protocol import serve
from torch import nn
from torch.nn import functional as F


class PyramidPooling(nn.Module):
    def __init__(self, pyramid, size):
        super().__init__()
        self.windows = [(size - (n - 1) * (size // n), size // n) for n in pyramid]

    def forward(self, x):
        return torch.cat([F.max_pool2d(x, w, s).flatten(1) for w, s in self.windows], 1)


def build(net: dict) -> nn.Sequential:
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


def load(request: dict):
    folder = Path(request["load"])
    net = build(json.loads((folder / "architecture.json").read_text()))
    with torch.no_grad(), np.load(folder / "weights.npz") as weights:
        for parameter, name in zip(net.parameters(), weights.files):
            parameter.copy_(torch.from_numpy(weights[name]))
    x = torch.from_numpy(np.load(folder / "x.npy"))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-9, momentum=0.9)
    if sys.argv[1] == "compiled":
        net = torch.compile(net)
    net.eval()

    def forward():
        with torch.inference_mode():
            return net(x)

    np.save(folder / "y.npy", forward().numpy())
    if request["mode"] == "inference":
        return forward

    net.train()
    label = torch.zeros(len(x), dtype=torch.long)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(net(x), label).backward()
        optimizer.step()

    return step


serve(load)
