"""Data sets and the batches drawn from them."""

from .batches import Batches, shift_and_flip

__all__ = ["Batches", "shift_and_flip"]
