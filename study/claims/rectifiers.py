"""Table 2: ReLU against PReLU, one slope for each layer or for each channel.

The net is the published 14-layer net of 2x2 filters, with a first layer for small images, all
widths scaled by a stated factor, and hidden layers of 256. The three nets of a seed have the same
data order, the same dropout and the same weights at the start, except for the factor of Eqn 15.
There are two regimes. The narrow net is trained on augmented images (shifted by up to two pixels
and mirrored) and underfits, as nets of that time did on ImageNet. The wider net is trained on the
images without changes. The learning rate is divided by ten before the last epoch. The mean training
loss over all steps measures how fast a net converges.
"""

from __future__ import annotations

from deeprect_gluon.data import shift_and_flip

from ..claim import Claim, Finding, Results
from ..figures import Figure, Panel, Series
from ..statistics import verdict
from ..training import build, initialize, loss_curve, train

ACTIVATIONS = {
    "relu": "ReLU",
    "prelu_shared": "channel-shared PReLU",
    "prelu": "channel-wise PReLU",
}
PAPER = {"relu": 33.82, "prelu_shared": 32.71, "prelu": 32.64}  # top-1 error, %
REGIMES = {
    "narrow, augmented": {"width": 0.125, "augment": True, "epochs": 3, "lr_drops": [2]},
    "wider": {"width": 0.25, "augment": False, "epochs": 2, "lr_drops": [1]},
}


def cases(quick: bool) -> dict:
    found = {}
    for regime, settings in REGIMES.items():
        training = {key: settings[key] for key in ("epochs", "lr_drops")}
        training["report_every"] = 39  # a twelfth of an epoch
        if quick:
            training.update(max_steps=117)
        for activation in ACTIVATIONS:
            found[f"{regime}: {activation}"] = {
                "activation": activation,
                "width": settings["width"],
                "augment": settings["augment"],
                "train": training,
            }
    return found


def measure(config: dict, seed: int) -> dict:
    net = build(
        config["activation"], name="deeprect_small14", width=config["width"], hidden=(256, 256)
    )
    initialize(net, "msra", "in", seed)
    return train(net, config["train"], seed, shift_and_flip if config["augment"] else None)


def findings(results: Results) -> list[Finding]:
    lines = []
    for regime in REGIMES:
        base = f"{regime}: relu"
        for activation in ("prelu_shared", "prelu"):
            case, name = f"{regime}: {activation}", ACTIVATIONS[activation]
            error = results.difference(case, base, "test_error").scaled(100)
            paper = f"{PAPER[activation] - PAPER['relu']:+.2f} points"
            lines.append(
                Finding(
                    f"Table 2: {name} errs less than ReLU ({regime})",
                    paper,
                    f"{error:+.2f} points",
                    verdict(error, high=0),
                )
            )
            loss = results.difference(case, base, "mean_loss")
            lines.append(
                Finding(
                    f"{name} converges faster than ReLU ({regime})",
                    "faster (ICCV version)",
                    f"{loss:+.4f} nats",
                    verdict(loss, high=0),
                )
            )
    return lines


def table(results: Results) -> list[list[str]]:
    rows = [
        ["regime", "rectifier", "seeds", "test error, %", "training loss", "mean training loss"]
    ]
    for regime in REGIMES:
        for activation, name in ACTIVATIONS.items():
            case = f"{regime}: {activation}"
            rows.append(
                [
                    regime,
                    name,
                    str(len(results.seeds(case))),
                    f"{results.mean(case, 'test_error').scaled(100):.2f}",
                    f"{results.mean(case, 'train_loss'):.4f}",
                    f"{results.mean(case, 'mean_loss'):.4f}",
                ]
            )
    return rows


def figures(results: Results) -> list[Figure]:
    panels = []
    for regime in REGIMES:
        base = f"{regime}: relu"
        steps = results.values(base, "curve")[0]["step"]
        curves = [
            Series.of(name, steps, results.differences(f"{regime}: {activation}", base, loss_curve))
            for activation, name in ACTIVATIONS.items()
            if activation != "relu"
        ]
        label = "training loss less ReLU's (nats)"
        panels.append(Panel(regime, "step", label, curves, level=0))
    caption = (
        "Training loss of the PReLU nets less that of the ReLU net with the same seed: mean "
        "and 95 % interval. Below 0, PReLU is ahead."
    )
    return [Figure("rectifiers", caption, panels)]


CLAIM = Claim(
    name="rectifiers",
    doc=__doc__,
    cases=cases,
    measure=measure,
    findings=findings,
    table=table,
    figures=figures,
    first=True,
)
