"""Make a small data set in ImageNet's layout, for tests, benchmarks and trials.

Its images are JPEGs of many sizes and shapes, with about as many bytes as ImageNet's. Each shows a
garment of Fashion-MNIST, enlarged and coloured, before a texture with the spectrum of photographs.
A class is a garment; with more than ten classes, a garment and a texture.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from . import fashion_mnist

_TEXTURES = 8
_SIDE = 512


def class_id(label: int) -> str:
    """Return a class's identifier, of the form of a WordNet number."""
    return f"n9{label:07d}"


def write(
    output: Path, classes: int = 10, images: int = 40, val_images: int = 10, seed: int = 0
) -> None:
    """Write `train/<class>/<image>.JPEG` and `val/<class>/<image>.JPEG`.

    Parameters
    ----------
    output : Path
    classes : int
        1 to 80.
    images, val_images : int
        Of each class.
    seed : int
        An image depends on (seed, split, class, number) only.

    Raises
    ------
    ValueError
        If there are too many classes.
    FileNotFoundError
        If Fashion-MNIST is missing.
    """
    if not 1 <= classes <= 10 * _TEXTURES:
        raise ValueError(f"classes={classes}; there are 1 to {10 * _TEXTURES}")
    textures = _textures(np.random.default_rng(seed))
    for number, (split, count) in enumerate((("train", images), ("val", val_images))):
        garments, labels = fashion_mnist.load({"train": "train", "val": "test"}[split])
        of_kind = [garments[labels == kind] for kind in range(10)]
        for label in range(classes):
            folder = output / split / class_id(label)
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                rng = np.random.default_rng([seed, number, label, i])
                kind = of_kind[label % 10]
                texture = textures[label // 10 if classes > 10 else rng.integers(_TEXTURES)]
                image = _compose(kind[rng.integers(len(kind))], texture, rng)
                quality = int(rng.integers(85, 97))
                image.save(folder / f"{class_id(label)}_{i}.JPEG", "JPEG", quality=quality)


def write_archives(folder: Path) -> None:
    """Put a folder that `write` made into archives like ImageNet's, beside it.

    They are ILSVRC2012_img_train.tar, an archive of the classes' archives; ILSVRC2012_img_val.tar,
    the validation images in one piece; and ILSVRC2012_devkit_t12.tar.gz, which has their classes.
    """
    from scipy.io import savemat

    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as archive:
        for child in sorted((folder / "train").iterdir()):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as of_class:
                for path in sorted(child.iterdir()):
                    of_class.add(path, path.name)
            _add(archive, f"{child.name}.tar", inner.getvalue())
    images = sorted((folder / "val").glob("*/*"))
    classes = sorted({path.parent.name for path in images})
    # Neither the order of the images nor the numbers of the classes is that of their names.
    rng = np.random.default_rng(0)
    images = [images[i] for i in rng.permutation(len(images))]
    numbers = dict(zip(classes, (rng.permutation(len(classes)) + 1).tolist()))
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for i, path in enumerate(images, start=1):
            archive.add(path, f"ILSVRC2012_val_{i:08d}.JPEG")
    synsets = np.array(
        [(number, name, name) for name, number in numbers.items()],
        dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)],
    )
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets[:, None]}, do_compression=True)
    truth = "".join(f"{numbers[path.parent.name]}\n" for path in images)
    with tarfile.open(folder / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        data = "ILSVRC2012_devkit_t12/data"
        _add(archive, f"{data}/meta.mat", meta.getvalue())
        _add(archive, f"{data}/ILSVRC2012_validation_ground_truth.txt", truth.encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _textures(rng: np.random.Generator) -> np.ndarray:
    """Return coloured noise, stronger at low frequencies: uint8, (textures, side, side, 3)."""
    frequency = np.hypot(np.fft.fftfreq(_SIDE, 1.0)[:, None], np.fft.rfftfreq(_SIDE, 1.0))
    frequency[0, 0] = 1
    noise = rng.standard_normal((_TEXTURES, 3, _SIDE, _SIDE))
    shaped = np.fft.irfft2(np.fft.rfft2(noise) / frequency, s=(_SIDE, _SIDE))
    # Channels of photographs go together.
    shaped = 0.3 * shaped + 0.7 * shaped.mean(axis=1, keepdims=True)
    shaped /= shaped.std(axis=(1, 2, 3), keepdims=True)
    tint = rng.uniform(80, 170, (_TEXTURES, 3, 1, 1))
    return (tint + 45 * shaped).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _shape(rng: np.random.Generator) -> tuple[int, int]:
    """Draw height and width: mostly 500 pixels along the longer side, as most of ImageNet."""
    longer = 500 if rng.random() < 0.8 else int(rng.integers(250, 900))
    shorter = round(longer * rng.uniform(0.6, 1))
    return (shorter, longer) if rng.random() < 0.7 else (longer, shorter)


def _compose(garment: np.ndarray, texture: np.ndarray, rng: np.random.Generator) -> Image.Image:
    height, width = _shape(rng)
    shift = rng.integers(_SIDE, size=2)
    tiles = [length // _SIDE + 1 for length in (height, width)]
    rolled = np.tile(np.roll(texture, shift, axis=(0, 1)), (*tiles, 1))
    image = Image.fromarray(rolled[:height, :width])
    size = round(min(height, width) * rng.uniform(0.6, 0.95))
    mask = Image.fromarray(garment).resize((size, size), Image.Resampling.BICUBIC)
    bright = rng.uniform(0.4, 1.0, 3) * 255
    lit = np.asarray(mask, np.float32)[..., None] / 255 * bright.astype(np.float32)
    place = (int(rng.integers(width - size + 1)), int(rng.integers(height - size + 1)))
    image.paste(Image.fromarray(lit.astype(np.uint8)), place, mask.point(lambda v: min(255, 3 * v)))
    return image
