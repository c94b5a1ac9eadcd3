"""Predict the classes of image files: find and read files, choose the likeliest, draw them."""

from __future__ import annotations

import http.client
import threading
import urllib.request
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitTimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .decoding import MOST_BYTES, SUFFIXES, check_bytes, read


@dataclass(frozen=True)
class Guess:
    """A class, by index and name, and its probability."""

    index: int
    name: str
    probability: float


def is_url(source: str) -> bool:
    """Return whether a source is an HTTP address and not a file."""
    return source.lower().startswith(("http://", "https://"))


def expand(sources: Iterable[str]) -> Iterator[str]:
    """Yield files and URLs as they are, and of a folder the images in it, by name.

    Raises
    ------
    FileNotFoundError
        If a folder has no file with the suffix of an image.
    """
    for source in sources:
        if is_url(source) or not Path(source).is_dir():
            yield source
            continue
        found = sorted(p for p in Path(source).iterdir() if p.suffix.lower() in SUFFIXES)
        if not found:
            raise FileNotFoundError(f"the folder {source} has no images in it")
        yield from map(str, found)


def load(source: str, channels: int, timeout: float = 60) -> np.ndarray:
    """Read an image from a file, or over HTTP within `timeout` seconds.

    Returns
    -------
    ndarray of uint8, shape (H, W, channels)

    Raises
    ------
    ValueError
        If it is no image, or is damaged or too large.
    OSError
        If it cannot be read.
    """
    return read(_fetch(source, timeout) if is_url(source) else source, channels)


def _fetch(url: str, timeout: float) -> bytes:
    """Return what lies at a URL, up to the most bytes of an image and one."""
    content: Future = Future()

    def get() -> None:
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                content.set_result(response.read(MOST_BYTES + 1))
        except Exception as error:
            content.set_exception(error)

    # urllib's own limit is for each byte; no thread can be ended, but a daemon keeps nobody.
    threading.Thread(target=get, daemon=True).start()
    try:
        found = content.result(timeout)
    except WaitTimeoutError as error:
        raise TimeoutError(f"it did not come within {timeout:g} seconds") from error
    except http.client.HTTPException as error:
        raise OSError(f"the server's answer is no HTTP: {error!r}") from error
    check_bytes(len(found))
    return found


def likeliest(probabilities: np.ndarray, classes: Sequence[str] | None, top: int) -> list[Guess]:
    """Return the `top` likeliest classes, the likeliest first; without names, by number."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [
        Guess(int(i), classes[i] if classes else f"class {i}", float(probabilities[i]))
        for i in order
    ]


def annotate(image: np.ndarray, guesses: list[Guess], width: int = 320) -> Image.Image:
    """Return the image, `width` pixels wide, above a list of its classes and bars."""
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert("RGB")
    picture = picture.resize((width, max(1, round(width * picture.height / picture.width))))
    line = 18
    canvas = Image.new("RGB", (width, picture.height + line * len(guesses) + 8), "white")
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    for row, guess in enumerate(guesses):
        y = picture.height + 4 + row * line
        draw.rectangle((0, y, width * guess.probability, y + line - 3), fill="#bcd7f0")
        draw.text((4, y + 2), f"{guess.probability:6.1%}  {guess.name[:44]}", fill="black")
    return canvas
