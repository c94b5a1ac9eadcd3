"""Compute the probabilities of the classes from the bytes of an image file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..export import load_export
from ..images.decoding import UnknownFormatError, decode, identify

# The formats of browsers and cameras.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


class Classifier:
    """An exported net that classifies image files.

    Parameters
    ----------
    path : Path or str
        An export of any form, with its sidecar; ONNX is run by ONNX Runtime.
    max_pixels : int
        Images with more are refused before they are decoded.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As for `export.load_export`; ValueError also if the export does not say how images are
        prepared.
    """

    def __init__(self, path: Path | str, max_pixels: int = 50_000_000):
        self._net = load_export(path)
        self.sidecar = self._net.sidecar
        self.name = Path(path).name
        self.max_pixels = max_pixels
        rule = self.sidecar.preprocess
        if rule is None:
            raise ValueError(
                f"the sidecar of {path} does not say how images are prepared; "
                "set net.preprocess before exporting"
            )
        self.preprocess = rule

    def prepare(self, content: bytes) -> np.ndarray:
        """Decode an image file and make it the net's input.

        Parameters
        ----------
        content : bytes
            Of a file of one of the `FORMATS`.

        Returns
        -------
        ndarray of float32, shape (channels, size, size)

        Raises
        ------
        UnknownFormatError
            If it is no such file.
        ValueError
            If it is damaged or has too many pixels.
        """
        try:
            image = identify(content, FORMATS)
        except UnknownFormatError as error:
            raise UnknownFormatError(
                f"no image of the formats {', '.join(FORMATS)} was sent; "
                "send such a file itself, not in a form"
            ) from error
        self._check_pixels(*image.size)
        return self.preprocess.as_numpy(decode(image, len(self.preprocess.mean)))[0]

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise ValueError(
                f"the image has {width} x {height} pixels, more than {self.max_pixels:,}; "
                "send a smaller one"
            )
        # A long strip becomes a large image when its shorter side grows to that of the net.
        growth = (self.preprocess.resize or self.preprocess.size) / min(width, height)
        if width * height * growth**2 > self.max_pixels:
            raise ValueError(f"the image of {width} x {height} pixels is too long a strip; crop it")

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the probabilities (N, classes) for inputs (N, channels, size, size), float32."""
        scores = self._net(inputs)
        likelihood = np.exp(scores - scores.max(axis=1, keepdims=True))
        return likelihood / likelihood.sum(axis=1, keepdims=True)
