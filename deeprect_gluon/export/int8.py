"""Post-training quantisation to eight bits, by ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Iterable

import mxnet as mx
import numpy as np

from ..files import write_atomically
from .onnx import INPUT, export_onnx
from .sidecar import input_shape as shape_of
from .sidecar import write_sidecar
from .symbolic import checked_path


def export_int8(
    net: mx.gluon.HybridBlock,
    path: Path | str,
    inputs: Iterable[np.ndarray],
    input_shape: tuple[int, ...] | None = None,
) -> tuple[Path]:
    """Write `PATH.onnx` with convolutions and fully-connected layers in int8, and `PATH.json`.

    Weights have a scale for each output channel, activations one for each tensor, from the least
    and the largest value seen (`quantize_static`, format QDQ, signed). Rectifiers with slopes of
    their own stay in float32. Input and output are float32 as in `export_onnx`.

    Parameters
    ----------
    net : HybridBlock
    path : Path or str
        The file's beginning; its folder must exist.
    inputs : iterable of ndarray or NDArray of float32, shape (N, channels, height, width)
        Batches of preprocessed images as the net will see them; some hundred images in all.
    input_shape : tuple of int, optional
        (channels, height, width); by default that of the net's configuration.

    Raises
    ------
    ImportError
        If onnx or onnxruntime is not installed.
    FileNotFoundError, ValueError
        As `export_onnx`; also ValueError if there are no inputs, or if they are of another shape or
        not finite.
    """
    path = checked_path(path)
    shape = input_shape or shape_of(net)
    batches = [_batch(batch, shape) for batch in inputs]
    if not sum(map(len, batches)):
        raise ValueError("there are no inputs to measure activations on; give some images")
    target = Path(f"{path}.onnx")
    with tempfile.TemporaryDirectory() as folder:
        source = export_onnx(net, Path(folder) / "float32", input_shape)[0]
        write_atomically(target, lambda temporary: _quantise(source, temporary, batches))
    Path(f"{path}.onnx.data").unlink(missing_ok=True)  # of another export before this one
    write_sidecar(net, path, (target,), "onnx", "int8", shape)
    return (target,)


def _batch(batch: np.ndarray | mx.nd.NDArray, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return a batch of calibration images as NumPy's array, checked."""
    values = batch.asnumpy() if isinstance(batch, mx.nd.NDArray) else batch
    array = np.ascontiguousarray(values, np.float32)
    if shape is not None and array.shape[1:] != tuple(shape):
        raise ValueError(
            f"calibration images have shape {array.shape}; the net takes batches of shape "
            f"(N, {', '.join(map(str, shape))})"
        )
    if not np.isfinite(array).all():
        raise ValueError("calibration images have values that are not finite")
    return array


def _quantise(source: Path, target: Path, batches: list[np.ndarray]) -> None:
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise ImportError(
            "quantisation needs onnxruntime: pip install 'deeprect_gluon[onnx]'"
        ) from error

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self._batches = iter(batches)

        def get_next(self):
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    prepared = source.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(target),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
    )
