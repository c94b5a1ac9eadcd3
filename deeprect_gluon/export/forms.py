"""All forms of an export of one net: operators or portable, ONNX, in each precision."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from ..models import DeepRect
from .int8 import export_int8
from .onnx_graph import export_onnx
from .symbolic import export

FORMS = ("operator", "portable", "onnx")


def export_forms(
    net: DeepRect,
    path: Path,
    forms: Sequence[str] = FORMS,
    half: bool = False,
    calibration: np.ndarray | None = None,
) -> dict[str, Path]:
    """Export a net for inference in several forms, each under a path of its own.

    Parameters
    ----------
    net : DeepRect
    path : Path
        To which the forms' names are added.
    forms : sequence of {"operator", "portable", "onnx"}
    half : bool
        Also with weights in float16.
    calibration : ndarray of uint8, shape (N, H, W, C), optional
        Images by which to quantise; with them there is also an ONNX file in int8.

    Returns
    -------
    dict of str to Path
        "FORM-PRECISION" to the path of that export.
    """
    paths = {}
    for form in forms:
        for precision in ("float32", "float16") if half else ("float32",):
            target = paths[f"{form}-{precision}"] = Path(f"{path}-{form}-{precision}")
            if form == "onnx":
                export_onnx(net, target, half=precision == "float16")
            else:
                portable = form == "portable"
                export(net, target, portable, inference=True, half=precision == "float16")
    if calibration is not None:
        target = paths["onnx-int8"] = Path(f"{path}-onnx-int8")
        export_int8(net, target, (net.preprocess(image).asnumpy() for image in calibration))
    return paths
