"""ImageNet: the published errors.

Nothing here was trained on ImageNet: that needs the images, GPUs and weeks. The table has the
commands.
"""

from __future__ import annotations

from ..claim import Claim, Finding, Results

COMMAND = "horovodrun -np 8 python scripts/train_imagenet.py --model {}"
PAPER = {
    "Table 6: model A, PReLU, top-1 / top-5 error": ("22.97 / 6.28 %", "deeprect_a"),
    "Table 6: model B, PReLU, top-1 / top-5 error": ("22.85 / 6.27 %", "deeprect_b"),
    "Table 6: model C, PReLU, top-1 / top-5 error": ("21.59 / 5.71 %", "deeprect_c"),
}


def findings(results: Results) -> list[Finding]:
    lines = [
        Finding(claim, paper, f"not run: `{COMMAND.format(config)}`", "cannot be tested here")
        for claim, (paper, config) in PAPER.items()
    ]
    ensemble = "not run: the average of six such nets (`deeprect_gluon.evaluation.ensemble`)"
    lines.append(
        Finding("Table 7: six nets, top-5 test error", "4.94 %", ensemble, "cannot be tested here")
    )
    return lines


CLAIM = Claim(name="imagenet", doc=__doc__, findings=findings)
