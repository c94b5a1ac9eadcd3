"""Facts of ImageNet: mean and deviation of the channels, class names and preprocessing."""

from __future__ import annotations

from ..images import Preprocess

# Mean and standard deviation of the training images' channels, on a scale of 0 to 1. The paper
# subtracts a mean per pixel. Those means hardly differ between pixels, and do not fit images of
# other sizes, so we use one per channel.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def _attributes():
    try:
        from gluoncv.data import ImageNet1kAttr
    except ImportError as error:
        raise ImportError(
            "the names of ImageNet's classes come from GluonCV: pip install gluoncv==0.10.5.post0"
        ) from error
    return ImageNet1kAttr()


def class_names() -> tuple[str, ...]:
    """Return the names of the classes of ILSVRC 2012, in the order of their WordNet numbers.

    Raises
    ------
    ImportError
        If GluonCV, which has the list, is not installed.
    """
    return tuple(_attributes().classes_long)


def wordnet_ids() -> tuple[str, ...]:
    """Return the WordNet numbers of the classes of ILSVRC 2012, sorted: "n01440764", ...

    Raises
    ------
    ImportError
        If GluonCV, which has the list, is not installed.
    """
    return tuple(_attributes().synset)


def preprocess(size: int) -> Preprocess:
    """Return the central crop of `size` pixels, after resizing in the paper's ratio, 256 to 224."""
    return Preprocess(size, MEAN, STD, resize=round(size * 256 / 224))
