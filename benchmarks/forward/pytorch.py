"""The same network in PyTorch."""

import json
import sys

import torch
from serve import serve
from torch import nn

with open(sys.argv[1]) as file:
    specification = json.load(file)
config = specification["config"]


class Pyramid(nn.Module):
    def __init__(self, levels, map_size):
        super().__init__()
        strides = [map_size // n for n in levels]
        self.windows = [(map_size - (n - 1) * s, s) for n, s in zip(levels, strides)]

    def forward(self, x):
        pooled = [nn.functional.max_pool2d(x, w, s).flatten(1) for w, s in self.windows]
        return torch.cat(pooled, 1)


layers, channels = [], config["in_channels"]
for kind, kernel, *rest in specification["layers"]:
    if kind == "MaxPool":
        layers.append(nn.MaxPool2d(kernel, rest[0]))
    else:
        filters, _, stride, (pad,) = rest
        layers += [nn.Conv2d(channels, filters, kernel, stride, pad), nn.PReLU(filters)]
        channels = filters
layers.append(Pyramid(config["pyramid"], specification["map_size"]))
units = channels * sum(n * n for n in config["pyramid"])
for size in config["hidden"]:
    layers += [nn.Linear(units, size), nn.PReLU(size), nn.Dropout(config["dropout"])]
    units = size
net = nn.Sequential(*layers, nn.Linear(units, config["classes"])).eval()
x = torch.randn(specification["shape"])


def forward():
    with torch.inference_mode():
        net(x)


serve(
    forward,
    version=torch.__version__,
    threads=torch.get_num_threads(),
    parameters=sum(p.numel() for p in net.parameters()),
)
