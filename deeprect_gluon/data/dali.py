"""ImageNet's training images by NVIDIA DALI, for machines whose CPUs cannot keep their GPUs busy.

The images of a step and their views are those of `ImageRecords`, drawn from the same seeds; DALI
decodes, resizes and normalises them, on the CPU or on a GPU. Pixels differ by what DALI rounds.
"""

from __future__ import annotations

import io
from collections import deque
from typing import Iterator

import mxnet as mx
import numpy as np
from PIL import Image

from .augment import box, draw
from .imagenet import AHEAD, ImageRecords

_ORIENTATION = 0x0112  # of EXIF; from 5 on, height and width change places


class DALIRecords(ImageRecords):
    """As `ImageRecords`; training images are made by DALI.

    Evaluation stays with `ImageRecords`, whose bits are those of `net.preprocess`.

    Parameters
    ----------
    device : int, optional
        The GPU that decodes and resizes; by default it is done on the CPU.
    arguments
        Of `ImageRecords`.

    Raises
    ------
    ImportError
        If DALI is not installed.
    """

    def __init__(self, *arguments, device: int | None = None, **options):
        try:
            from nvidia import dali  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "DALI is not installed: pip install nvidia-dali-cuda120==1.53.0 (Python 3.9 or "
                "newer), or use ImageRecords"
            ) from error
        super().__init__(*arguments, **options)
        self.device = device

    def _epoch(self, epoch: int, start: int) -> Iterator[tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        if not self.train:
            yield from super()._epoch(epoch, start)
            return
        labels: deque[mx.nd.NDArray] = deque()
        pipeline = self._pipeline(self._steps(epoch, start, labels))
        while True:
            try:
                (images,) = pipeline.run()
            except StopIteration:
                return
            # Copied: DALI uses its own memory again.
            yield mx.nd.array(np.asarray(images.as_cpu().as_array())), labels.popleft()

    def _steps(self, epoch: int, start: int, labels: deque) -> Iterator[tuple[list, ...]]:
        """Yield the images of each step and what is to be seen of them, and note their labels."""
        for part in self._parts(epoch, start):
            samples, own = [], []
            for i in part.tolist():
                content, label = self.shards.read(i)
                shape = _shape(content)
                view = draw(shape, self.input_size, self.sides, self.colour, self._rng(epoch, i))
                corners = np.float32(box(shape, view, self.input_size))
                samples.append(
                    (
                        np.frombuffer(content, np.uint8),
                        corners[:2],
                        corners[2:],
                        np.int32(view.mirrored),
                        np.float32(view.shift / self.std)[:, None, None],
                    )
                )
                own.append(label)
            labels.append(mx.nd.array(own))
            yield tuple(map(list, zip(*samples)))

    def _pipeline(self, steps: Iterator[tuple[list, ...]]):
        from nvidia.dali import Pipeline, fn, types

        pipeline = Pipeline(
            batch_size=self.batch_size // self.size,
            num_threads=self.threads,
            device_id=self.device,
            prefetch_queue_depth=AHEAD,
        )
        on_cpu = self.device is None
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        with pipeline:
            encoded, first, last, mirrored, shift = fn.external_source(
                source=steps,
                num_outputs=5,
                dtype=[types.UINT8, types.FLOAT, types.FLOAT, types.INT32, types.FLOAT],
                ndim=[1, 1, 1, 0, 3],
            )
            image = fn.decoders.image(
                encoded, device="cpu" if on_cpu else "mixed", output_type=types.RGB
            )
            resized = fn.resize(
                image,
                size=(self.input_size, self.input_size),
                roi_start=first,
                roi_end=last,
                interp_type=types.INTERP_LINEAR,
                antialias=True,
                dtype=types.FLOAT,
            )
            normal = fn.crop_mirror_normalize(
                resized,
                mirror=mirrored,
                mean=(255 * mean).tolist(),
                std=(255 * std).tolist(),
                dtype=types.FLOAT,
                output_layout="CHW",
            )
            pipeline.set_outputs(normal + (shift if on_cpu else shift.gpu()))
        pipeline.build()
        return pipeline


def _shape(content: bytes) -> tuple[int, int]:
    """Return height and width of an encoded image, upright, from its header."""
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        sideways = image.getexif().get(_ORIENTATION, 1) >= 5
    return (width, height) if sideways else (height, width)
