"""Width against depth: model B, deeper, and wider as model C.

For its best model the paper made B wider rather than deeper: with three to nine more layers, B had
larger training and test errors in the first 20 epochs. Here all nets are an eighth as wide as
published, for 32x32 images, with channel-wise PReLU, fan-out initialisation and hidden layers of
256. They are trained for 702 steps, one and a half epochs, at the first learning rate. C needs 2.3
times as many multiply-adds as B, B with nine more layers 1.5 times.
"""

from __future__ import annotations

from deeprect_gluon.models import ARCHITECTURES, DeepRect

from ..claim import Claim, Finding, Results
from ..figures import Figure, Panel, Series
from ..statistics import verdict
from ..training import build, initialize, loss_curve, train

B = ARCHITECTURES["deeprect_b"]
# B with more layers in each of its three stages.
DEEPER = {
    f"deeprect_b{22 + 3 * more}": B._replace(
        stages=tuple(stage._replace(times=stage.times + more) for stage in B.stages),
        multiply_adds=None,
    )
    for more in (1, 3)
}
NETS = {
    "B, 22 layers": "deeprect_b",
    "B and 3 layers": "deeprect_b25",
    "B and 9 layers": "deeprect_b31",
    "C, 22 layers": "deeprect_c",
}
BASE = "B, 22 layers"


def cases(quick: bool) -> dict:
    training = {"epochs": 2, "max_steps": 702, "report_every": 39}
    if quick:
        training.update(max_steps=78)
    return {case: {"name": name, "train": training} for case, name in NETS.items()}


def build_net(name: str) -> DeepRect:
    table = {**ARCHITECTURES, **DEEPER}
    return build("prelu", name=name, architectures=table, width=0.125, hidden=(256, 256))


def measure(config: dict, seed: int) -> dict:
    net = build_net(config["name"])
    initialize(net, "msra", "out", seed)
    return train(net, config["train"], seed)


def findings(results: Results) -> list[Finding]:
    lines = []
    claims = {
        "B and 3 layers": ("more depth is worse than B", {"low": 0}),
        "B and 9 layers": ("more depth is worse than B", {"low": 0}),
        "C, 22 layers": ("more width is better than B", {"high": 0}),
    }
    test_errors = {"C, 22 layers": "-1.26 points (top-1, Table 6)"}
    for case, (claim, bounds) in claims.items():
        error = results.difference(case, BASE, "test_error").scaled(100)
        loss = results.difference(case, BASE, "mean_loss")
        paper = "worse" if "low" in bounds else "better"
        lines += [
            Finding(
                f"{claim}, test error ({case})",
                test_errors.get(case, paper),
                f"{error:+.2f} points",
                verdict(error, **bounds),
            ),
            Finding(
                f"{claim}, mean training loss ({case})",
                paper,
                f"{loss:+.3f} nats",
                verdict(loss, **bounds),
            ),
        ]
    return lines


def table(results: Results) -> list[list[str]]:
    rows = [["net", "seeds", "test error, %", "training loss", "mean training loss"]]
    for case in NETS:
        error = results.mean(case, "test_error").scaled(100)
        losses = [f"{results.mean(case, key):.3f}" for key in ("train_loss", "mean_loss")]
        rows.append([case, str(len(results.seeds(case))), f"{error:.2f}", *losses])
    return rows


def figures(results: Results) -> list[Figure]:
    series = []
    for case in NETS:
        steps = results.values(case, "curve")[0]["step"]
        series.append(Series.of(case, steps, results.means(case, loss_curve)))
    caption = "Training loss of B, deeper and wider nets: mean and 95 % interval."
    panel = Panel("width and depth", "step", "training loss (nats)", series)
    return [Figure("width_depth", caption, [panel])]


CLAIM = Claim(
    name="width_depth",
    doc=__doc__,
    cases=cases,
    measure=measure,
    findings=findings,
    table=table,
    figures=figures,
)
