"""NVIDIA's networks as ours: their tensors under our names, which are almost the same."""

from .conversion import Imported, convert

__all__ = ["Imported", "convert"]
