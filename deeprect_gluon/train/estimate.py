"""Estimate a training before it runs: its memory and its steps, and the time of a step on GPUs.

The time comes from counts alone; it is a model, not a measurement:

    python -m deeprect_gluon.train.estimate deeprect_c --gpus 1 2 4 8

N GPUs take a batch of B images. A GPU does F multiply-adds a second, and sends and receives W bytes
a second. An image takes m_conv + m_fc multiply-adds forward. The net has p_conv + p_fc parameters,
and v values before its first fully-connected layer.

- Computing takes 3 m B / (N F): forward, and backward by data and by weights.
- A ring sums the gradients of p float32 parameters in 2 (N - 1) / N * 4 p / W.
- Horovod divides all layers over the images: 3 (m_conv + m_fc) B / (N F), and a ring over
  p_conv + p_fc. The ring works during the backward pass, so the step takes between the larger of
  the two and their sum.
- The paper (section 3, after Krizhevsky's "one weird trick") divides the convolutions only, and one
  GPU does the fully-connected layers: 3 m_conv B / (N F) + 3 m_fc B / F, and a ring over p_conv.
  B v (N - 1) / N values go to that GPU, and as many gradients back.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from dataclasses import dataclass

import mxnet as mx

from ..models import Config, get_model, model_names, summary
from ..models.architectures import Conv
from .config import TrainConfig
from .report import columns
from .schedule import Schedule

_FLOAT = 4  # bytes
_PASSES = 3  # forward, backward by data, backward by weights
# Operators whose output is the memory of their input.
_VIEWS = ("null", "_copy", "Flatten", "Reshape", "expand_dims")


@dataclass(frozen=True)
class Memory:
    """Bytes that a worker needs for the net and for its part of a batch."""

    parameters: int
    gradients: int
    momentum: int
    activations: int

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.momentum + self.activations


def estimate_memory(net: mx.gluon.HybridBlock, images: int) -> Memory:
    """Estimate the memory of a training step in float32 from the net's graph, without running it.

    Parameters
    ----------
    net : DeepRect
        Initialised or not.
    images : int
        Of one worker in a step.

    Returns
    -------
    Memory
        Activations are the outputs of all layers and as much again for their gradients. On the CPU
        3 to 8 % more was measured (tests/train/test_estimate.py). The buffers of MXNet and of the
        data are not counted.
    """
    size = net.config["input_size"]
    shape = (images, net.config["in_channels"], size, size)
    graph = net(mx.sym.Variable("data"))
    arguments, _, _ = graph.infer_shape(data=shape)
    inputs = zip(graph.list_arguments(), arguments)
    parameters = sum(math.prod(s) for name, s in inputs if name != "data")
    internals = graph.get_internals()
    _, outputs, _ = internals.infer_shape(data=shape)
    operators = {n["name"]: n["op"] for n in json.loads(internals.tojson())["nodes"]}
    activations = math.prod(shape)
    for name, output in zip(internals.list_outputs(), outputs):
        node = name[: -len("_output")] if name.endswith("_output") else name
        if operators.get(node) not in _VIEWS:
            activations += 2 * math.prod(output)
    values = _FLOAT * parameters
    return Memory(values, values, values, _FLOAT * activations)


def plan(net: mx.gluon.HybridBlock, config: TrainConfig, steps_per_epoch: int, workers: int) -> str:
    """Return the memory that a training takes and its learning rates, epoch by epoch.

    Parameters
    ----------
    net : DeepRect
    config : TrainConfig
    steps_per_epoch, workers : int
    """
    counts = summary(net)
    images = math.ceil(config.batch_size / workers)
    memory = estimate_memory(net, images)
    table = [
        ("parameters", f"{counts.parameters:,}"),
        ("multiply-adds for an image", f"{counts.multiply_adds:,}"),
        ("workers", f"{workers}, each with {images} of the {config.batch_size} images of a step"),
        ("memory of a worker", _size(memory.total)),
        ("  parameters, gradients, momentum", f"3 x {_size(memory.parameters)}"),
        ("  activations and their gradients", _size(memory.activations)),
        ("a checkpoint", _size(memory.parameters + memory.momentum)),
        ("steps in an epoch", f"{steps_per_epoch:,}"),
        ("steps in all", f"{config.last_step(steps_per_epoch):,}"),
    ]
    return f"{columns(table)}\n\n{columns(_rates(config, steps_per_epoch))}"


def _rates(config: TrainConfig, steps_per_epoch: int) -> list[tuple[str, str]]:
    """Return (epochs, learning rate), equal epochs in one row."""
    schedule = Schedule(config, steps_per_epoch)
    rates = []
    for epoch in range(math.ceil(config.last_step(steps_per_epoch) / steps_per_epoch)):
        first, last = (schedule.lr(epoch * steps_per_epoch + i) for i in (0, steps_per_epoch - 1))
        rates.append(f"{first:.6g}" if first == last else f"{first:.6g} to {last:.6g}")
    table = [("epochs", "learning rate")]
    epoch = 0
    for rate, equal in itertools.groupby(rates):
        last_epoch = epoch + len(list(equal)) - 1
        table.append((f"{epoch} to {last_epoch}", rate))
        epoch = last_epoch + 1
    if config.plateau:
        after = f"{config.plateau} epochs without a validation error lower by {config.plateau_gain}"
        table.append(("plateaus", f"/ 10, up to {config.plateau_drops} times, after {after}"))
        if config.early_stop:
            table.append(("", "and stop at the next"))
    return table


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


@dataclass(frozen=True)
class Machine:
    """A GPU and its link to the others.

    Parameters
    ----------
    rate : float
        Multiply-adds a second that a GPU reaches.
    bandwidth : float
        Bytes a second that a GPU sends and, at the same time, receives.
    """

    rate: float
    bandwidth: float

    def compute(self, multiply_adds: float) -> float:
        """Return the seconds of a step of so many multiply-adds forward."""
        return _PASSES * multiply_adds / self.rate

    def ring(self, parameters: float, gpus: int) -> float:
        """Return the seconds in which a ring sums the gradients of so many parameters."""
        return 2 * (gpus - 1) / gpus * _FLOAT * parameters / self.bandwidth


@dataclass(frozen=True)
class Counts:
    """Multiply-adds, parameters and the values between them of the two parts of a network."""

    conv_multiply_adds: int
    fc_multiply_adds: int
    conv_parameters: int
    fc_parameters: int
    features: int

    @classmethod
    def of(cls, name: str) -> Counts:
        """Count those of a published net."""
        layers = summary(get_model(name)).layers
        fc = [layer for layer in layers if layer.name.startswith("fc")]
        conv = [layer for layer in layers if layer.name.startswith("conv")]
        config = Config(name)
        filters = [layer.filters for layer in config.layers if isinstance(layer, Conv)][-1]
        return cls(
            sum(layer.multiply_adds for layer in conv),
            sum(layer.multiply_adds for layer in fc),
            sum(layer.parameters for layer in conv),
            sum(layer.parameters for layer in fc),
            filters * sum(n * n for n in config.pyramid),
        )

    @property
    def multiply_adds(self) -> int:
        return self.conv_multiply_adds + self.fc_multiply_adds

    @property
    def parameters(self) -> int:
        return self.conv_parameters + self.fc_parameters


def horovod_step(counts: Counts, machine: Machine, batch: int, gpus: int) -> tuple[float, float]:
    """Return the seconds of a step if all of the ring is hidden, and if nothing is."""
    compute = machine.compute(counts.multiply_adds * batch / gpus)
    ring = machine.ring(counts.parameters, gpus)
    return max(compute, ring), compute + ring


def paper_step(counts: Counts, machine: Machine, batch: int, gpus: int) -> float:
    """Return the seconds of a step as the paper divides it, with nothing hidden."""
    compute = machine.compute(batch * (counts.conv_multiply_adds / gpus + counts.fc_multiply_adds))
    exchange = 2 * _FLOAT * counts.features * batch * (gpus - 1) / gpus / machine.bandwidth
    return compute + machine.ring(counts.conv_parameters, gpus) + exchange


def table(name: str, machine: Machine, batch: int, gpus: list[int]) -> str:
    """Return a Markdown table of step times and speed-ups over one GPU."""
    counts = Counts.of(name)
    alone = machine.compute(counts.multiply_adds * batch)
    lines = [
        f"{name}, {batch} images: convolutions {counts.conv_multiply_adds:.3g} multiply-adds, "
        f"{_FLOAT * counts.conv_parameters / 1e6:.0f} MB; fully-connected "
        f"{counts.fc_multiply_adds:.3g}, {_FLOAT * counts.fc_parameters / 1e6:.0f} MB; between "
        f"them {_FLOAT * counts.features * batch / 1e6:.0f} MB.",
        "",
        "| GPUs | each sends for gradients, MB | Horovod, s | speed-up | paper's, s | speed-up |",
        "|---|---|---|---|---|---|",
    ]
    for n in gpus:
        hidden, shown = horovod_step(counts, machine, batch, n)
        paper = paper_step(counts, machine, batch, n)
        sent = machine.ring(counts.parameters, n) * machine.bandwidth / 1e6
        seconds = f"{hidden:.2f}" if hidden == shown else f"{hidden:.2f} to {shown:.2f}"
        gain = f"{alone / shown:.1f}"
        gain = gain if hidden == shown else f"{gain} to {alone / hidden:.1f}"
        lines.append(
            f"| {n} | {sent:.0f} | {seconds} | {gain} | {paper:.2f} | {alone / paper:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", choices=model_names())
    add("--gpus", type=int, nargs="+", default=[1, 2, 4, 8])
    add("--batch", type=int, default=128)
    # Model A took 2.6 s on four K20: 3 * 1.9e10 * 128 / 4 / 2.6. A K40's peak is 1.22 times that.
    add("--rate", type=float, default=0.86e12, help="multiply-adds/s (default: a K40, %(default)g)")
    add("--bandwidth", type=float, default=6e9, help="bytes/s (default: PCIe, %(default)g)")
    args = parser.parse_args()
    print(table(args.model, Machine(args.rate, args.bandwidth), args.batch, args.gpus))


if __name__ == "__main__":
    main()
