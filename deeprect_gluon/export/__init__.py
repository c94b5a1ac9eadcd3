"""Trained nets for use elsewhere: MXNet's symbol and parameters, ONNX, and what they mean."""

from .onnx_graph import export_onnx
from .sidecar import Sidecar, read_sidecar
from .symbolic import export

__all__ = ["Sidecar", "export", "export_onnx", "read_sidecar"]
