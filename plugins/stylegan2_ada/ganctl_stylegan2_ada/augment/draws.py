"""What the augmentations draw: at random for each image, or one percentile for all of them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ganctl import random


class Draws(Protocol):
    """The magnitudes for n images. All tensors are float32, on the CPU, and (n,)."""

    n: int
    fixed: bool

    def uniform(self) -> Tensor:
        """In [0, 1)."""

    def normal(self) -> Tensor:
        """Mean 0; deviation 1 when drawn."""

    def half_normal(self) -> Tensor:
        """The absolute value of a normal."""

    def gate(self, value: Tensor, otherwise: float, *, rotation: bool = False) -> Tensor:
        """`value` for those images that are transformed, `otherwise` for the others."""


class RandomDraws:
    """Draws through `ganctl.random`: rows of a micro-batch draw what the whole batch would.

    They are made on the CPU, where margins have to be known, for all devices alike.
    """

    fixed = False

    def __init__(self, n: int, p: float) -> None:
        self.n = n
        self.p = p

    def uniform(self) -> Tensor:
        return random.rand(self.n)

    def normal(self) -> Tensor:
        return random.randn(self.n)

    def half_normal(self) -> Tensor:
        return random.randn(self.n).abs()

    def gate(self, value: Tensor, otherwise: float, *, rotation: bool = False) -> Tensor:
        # Two rotations, of which at least one happens with probability p (appendix B).
        p = 1 - (1 - self.p) ** 0.5 if rotation else self.p
        return torch.where(random.rand(self.n) < p, value, otherwise)


class PercentileDraws:
    """Every transformation at one percentile of its magnitudes, for tests and pictures.

    A normal magnitude is erfinv(2q - 1), the quantile over √2, and half of a normal erfinv(q):
    so the reference vectors have it.
    """

    fixed = True

    def __init__(self, n: int, percentile: float) -> None:
        self.n = n
        self.percentile = torch.full((n,), percentile)

    def uniform(self) -> Tensor:
        return self.percentile

    def normal(self) -> Tensor:
        return (2 * self.percentile - 1).erfinv()

    def half_normal(self) -> Tensor:
        return self.percentile.erfinv()

    def gate(self, value: Tensor, otherwise: float, *, rotation: bool = False) -> Tensor:
        return value
