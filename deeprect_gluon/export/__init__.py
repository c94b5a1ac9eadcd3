"""Trained nets for use elsewhere: MXNet's symbol and parameters, ONNX, and what they mean."""

from .forms import FORMS, export_forms
from .int8 import export_int8
from .load import Exported, load_export
from .onnx import export_onnx
from .sidecar import Sidecar, read_sidecar
from .symbolic import export

__all__ = [
    "FORMS",
    "Exported",
    "Sidecar",
    "export",
    "export_forms",
    "export_int8",
    "export_onnx",
    "load_export",
    "read_sidecar",
]
