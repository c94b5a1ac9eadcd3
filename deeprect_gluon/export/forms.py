"""Export a net in several forms: with this package's operators, portable, and ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from ..models import DeepRect
from .int8 import export_int8
from .onnx import export_onnx
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
        The names of the forms are added to it.
    forms : sequence of {"operator", "portable", "onnx"}
    half : bool
        Export each form also with weights in float16.
    calibration : ndarray of uint8, shape (N, H, W, C), optional
        Images for calibration. With them the net is also exported as ONNX in int8.

    Returns
    -------
    dict of str to Path
        The path of each export by its "FORM-PRECISION".

    Raises
    ------
    ValueError
        If there are images for calibration and the net has no `preprocess`.
    """
    if calibration is not None and net.preprocess is None:
        raise ValueError("the net has no preprocess, which calibration needs; set net.preprocess")
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
        images = (net.preprocess(image).asnumpy() for image in calibration)  # type: ignore[misc]
        export_int8(net, target, images)
    return paths
