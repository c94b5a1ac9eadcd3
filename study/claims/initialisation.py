"""Figures 2 and 3: which initialisation lets a deep rectifier net learn.

Three depths are trained: the 14-layer net, the 22-layer model B of Table 3 at 32x32, and the
30-layer net. They are an eighth, an eighth and a quarter as wide as published, with ReLU and hidden
layers of 256. A net has started when its training loss, over ten steps, is below 2.0; guessing
costs ln 10 = 2.303. The paper's Figure 2 shows 30,000 steps, in which the 22-layer net starts from
Xavier's initialisation too. Figure 3 shows 90,000 steps, in which the 30-layer net does not start.
Our trainings have 200 to 900 steps, so that "stalls" means: not started by then. The 30-layer nets
had 250 steps at first, in which not all seeds of MSRA started; the rows are of the longer runs.
Figure 2 has two forms. In the first, images are normalised to variance 1, as everywhere here. In
the second, "published scale", images are in units of pixels, 90 times as large, and the
fully-connected layers have the gains of the published 0.01, 0.01, 0.001, so that only the
convolutions follow the rule. With these larger signals the 22-layer net starts sooner. Leaky ReLU
has a fixed slope of 0.01. Fan-in and fan-out are Eqns 10 and 14.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from deeprect_gluon.data import fashion_mnist as data
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.models import DeepRect

from ..claim import Claim, Finding, Results
from ..figures import Figure, Panel, Series
from ..statistics import verdict
from ..training import build, initialize, loss_curve, train

STARTED = 2.0
NETS = {14: "deeprect_small14", 22: "deeprect_b", 30: "deeprect_small30"}
PIXELS = 255 * data.PREPROCESS["std"][0]  # a normalised image times this is in units of pixels
# Standard deviations and fan-ins of the published models' fully-connected layers.
PUBLISHED = {"fc1": (0.01, 63 * 512), "fc2": (0.01, 4096), "fc3": (0.001, 4096)}

RULES: dict[str, dict[str, Any]] = {
    "MSRA": {"rule": "msra", "fan": "in"},
    "Xavier": {"rule": "xavier", "fan": "in"},
    "MSRA, fan-out": {"rule": "msra", "fan": "out"},
    "std 0.01": {"rule": 0.01, "fan": "in"},
    "MSRA, leaky ReLU": {"rule": "msra", "fan": "in", "activation": "leaky_relu"},
}
BY_DEPTH = {14: ("MSRA", "Xavier"), 22: tuple(RULES)[:4], 30: tuple(RULES)}
WIDTHS = {14: 0.125, 22: 0.125, 30: 0.25}
STEPS = {14: 200, 22: 200, 30: 500}
PUBLISHED_SCALE = "22 layers, published scale"


def cases(quick: bool) -> dict:
    found = {}
    for depth, rules in BY_DEPTH.items():
        for rule in rules:
            steps = 60 if quick else STEPS[depth]
            found[f"{depth} layers: {rule}"] = {"depth": depth, **RULES[rule], "steps": steps}
    for rule, steps in (("MSRA", 200), ("Xavier", 900)):
        config = {"depth": 22, **RULES[rule], "published": True, "steps": 60 if quick else steps}
        found[f"{PUBLISHED_SCALE}: {rule}"] = config
    return found


def initialize_as_published(net: DeepRect, rule: str, fan: str, seed: int) -> None:
    """Draw weights; fully-connected layers get the gains n Var[w] of the published models."""
    slopes, stds = rectifier_slopes(net), {}
    for layer, (std, fan_in) in PUBLISHED.items():
        (weight,) = net.collect_params(f".*{layer}_weight").values()
        stds[weight.name] = std * math.sqrt(fan_in / weight.shape[1])
    net.initialize(MSRA(slopes if rule == "msra" else 1.0, fan=fan, seed=seed, stds=stds))


def measure(config: dict, seed: int) -> dict:
    activation = config.get("activation", "relu")
    depth = config["depth"]
    net = build(activation, name=NETS[depth], width=WIDTHS[depth], hidden=(256, 256))
    published = config.get("published", False)
    draw = initialize_as_published if published else initialize
    draw(net, config["rule"], config["fan"], seed)
    training = {"epochs": 2, "max_steps": config["steps"], "report_every": 10}
    return train(net, training, seed, scale=PIXELS if published else 1.0)


def start(result: dict) -> int:
    """Return the step at which the net has started, or the last step if it has not."""
    curve = result["curve"]
    started = (s for s, loss in zip(curve["step"], curve["train_loss"]) if loss < STARTED)
    return next(started, curve["step"][-1] if curve["step"] else 0)


def findings(results: Results) -> list[Finding]:
    lines = []

    def learns(case: str, what: str, paper: str, expected: bool) -> None:
        loss = results.mean(case, "train_loss")
        bounds = {"high": STARTED} if expected else {"low": STARTED}
        ours = f"training loss {loss:.3f}"
        lines.append(Finding(what, paper, ours, verdict(loss, **bounds)))

    def earlier(prefix: str, what: str) -> None:
        steps = results.difference(f"{prefix}: Xavier", f"{prefix}: MSRA", start)
        lines.append(Finding(what, "earlier", f"{steps:.0f} steps earlier", verdict(steps, low=0)))

    for prefix in ("22 layers", PUBLISHED_SCALE):
        learns(f"{prefix}: MSRA", f"Figure 2: MSRA converges ({prefix})", "converges", True)
        learns(f"{prefix}: Xavier", f"Figure 2: Xavier converges ({prefix})", "converges", True)
        earlier(prefix, f"Figure 2: MSRA starts earlier ({prefix})")
    learns("14 layers: Xavier", "Xavier converges (14 layers)", "converges", True)
    earlier("14 layers", "MSRA starts earlier (14 layers)")
    learns("30 layers: MSRA", "Figure 3: MSRA converges (30 layers)", "converges", True)
    learns("30 layers: Xavier", "Figure 3: Xavier stalls (30 layers)", "stalls", False)
    for depth in (22, 30):
        name = f"{depth} layers"
        learns(f"{name}: MSRA, fan-out", f"Eqn 14 suffices ({name})", "converges", True)
        learns(f"{name}: std 0.01", f"A fixed std of 0.01 stalls ({name})", "stalls", False)
    learns("30 layers: MSRA, leaky ReLU", "Leaky ReLU with Eqn 15 (30 layers)", "not tested", True)
    return lines


def table(results: Results) -> list[list[str]]:
    rows = [["case", "seeds", "started at step", "training loss", "test error, %"]]
    for case in cases(quick=False):
        seeds = results.seeds(case)
        losses = results.values(case, lambda r: min(r["curve"]["train_loss"], default=math.inf))
        started = sum(loss < STARTED for loss in losses)
        when = f"{np.median(results.values(case, start)):.0f}" if started == len(seeds) else ""
        when = when or f"{started} of {len(seeds)} started"
        loss, error = results.mean(case, "train_loss"), results.mean(case, "test_error")
        rows.append([case, str(len(seeds)), when, f"{loss:.3f}", f"{error.scaled(100):.1f}"])
    return rows


def figures(results: Results) -> list[Figure]:
    panels: dict[str, list[Series]] = {}
    for case in cases(quick=False):
        prefix, _, rule = case.partition(": ")
        steps = results.values(case, "curve")[0]["step"]
        series = Series.of(rule, steps, results.means(case, loss_curve))
        panels.setdefault(prefix, []).append(series)
    drawn = [
        Panel(prefix, "step", "training loss (nats)", series, level=math.log(10))
        for prefix, series in panels.items()
    ]
    caption = "Training loss: mean and 95 % interval; dotted: guessing, ln 10."
    return [
        Figure("initialisation_22", f"Figure 2. {caption}", [drawn[1], drawn[3]]),
        Figure("initialisation_30", f"Figure 3. {caption}", [drawn[0], drawn[2]]),
    ]


CLAIM = Claim(
    name="initialisation",
    doc=__doc__,
    cases=cases,
    measure=measure,
    findings=findings,
    table=table,
    figures=figures,
    first=True,
)
