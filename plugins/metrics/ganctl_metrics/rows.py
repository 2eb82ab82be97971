"""Feature vectors held for metrics that compare each with each."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

TILE = 1024
"""Rows at a time, where each is compared with each: a tile of distances is 8 MB."""


class Rows:
    """Vectors by the numbers of their images, in whatever order they come.

    The batches' own tensors are held, not copies: several evaluators share them.
    """

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._numbers: list[Tensor] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def add(self, features: Tensor, numbers: Tensor) -> None:
        """(N, D) float32 and the images' numbers (N,)."""
        self._parts.append(features)
        self._numbers.append(numbers)

    def clear(self) -> None:
        self._parts.clear()
        self._numbers.clear()

    def in_order(self) -> Tensor:
        """(N, D), sorted by number."""
        if not self._parts:
            return torch.empty(0, 0)
        return torch.cat(self._parts)[torch.cat(self._numbers).argsort(stable=True)]

    def numbers(self) -> Tensor:
        return torch.cat(self._numbers).sort().values


def tiles(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(first row, some rows in float64) pairs."""
    for start in range(0, len(rows), TILE):
        yield start, rows[start : start + TILE].double()
