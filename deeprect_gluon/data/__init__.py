"""Datasets and the batches drawn from them."""

from . import fashion_mnist
from .batches import Batches, shift_and_flip

__all__ = ["Batches", "fashion_mnist", "shift_and_flip"]
