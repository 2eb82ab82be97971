"""Feature vectors held for metrics that compare each with each."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ganctl import ImageSet

TILE, BLOCK = 512, 8192
"""Rows that are compared at a time, and rows that are brought to float64 at a time."""


class Rows:
    """Vectors by the numbers of their images, in whatever order they come."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._numbers: list[Tensor] = []
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return sum(map(len, self._numbers))

    def add(self, features: Tensor, numbers: Tensor) -> None:
        """(N, D) float32 and the images' numbers (N,); a batch that is there already is not
        taken again: several evaluators bring it."""
        if int(numbers[0]) not in self._seen:
            self._seen.add(int(numbers[0]))
            self._parts.append(features)
            self._numbers.append(numbers)

    def clear(self) -> None:
        self._parts.clear()
        self._numbers.clear()
        self._seen.clear()

    def in_order(self) -> Tensor:
        """(N, D), sorted by number."""
        if len(self._parts) > 1:
            numbers = torch.cat(self._numbers)
            places = numbers.argsort(stable=True).argsort()
            rows = torch.empty(len(numbers), self._parts[0].shape[1])
            start = 0
            self._parts.reverse()
            while self._parts:  # each is let go as soon as it is copied
                part = self._parts.pop()
                rows[places[start : start + len(part)]] = part
                start += len(part)
            self._parts, self._numbers = [rows], [numbers.sort().values]
        return self._parts[0] if self._parts else torch.empty(0, 0)


class Bank:
    """The features of both sides in one space, held once for all evaluators."""

    def __init__(self) -> None:
        self.reals, self.fakes = Rows(), Rows()
        self._nearest = torch.empty(0, 0)

    def side(self, real: bool) -> Rows:
        return self.reals if real else self.fakes

    def squared_radii_of_reals(self, k: int) -> Tensor:
        """(N,): of each the squared distance to its k-th nearest other."""
        count = max(k, MOST_ASKED)
        if self._nearest.shape != (len(self.reals), min(count, len(self.reals) - 1)):
            self._nearest = squared_radii(self.reals.in_order(), count)
        return self._nearest[:, k - 1]


MOST_ASKED = 5
"""The default evaluators' largest k: one search serves them all."""

_banks: WeakKeyDictionary[ImageSet, dict[str, Bank]] = WeakKeyDictionary()


def bank_of(reals: ImageSet, space: str) -> Bank:
    """The same object for all evaluators of one measurement, and for as long as it lasts."""
    return _banks.setdefault(reals, {}).setdefault(space, Bank())


def tiles(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(first row, some rows in float64) pairs."""
    for start in range(0, len(rows), TILE):
        yield start, rows[start : start + TILE].double()


def squared_radii(rows: Tensor, k: int) -> Tensor:
    """(N, D) → (N, k) float64: of each the squared distances to its nearest others."""
    k = min(k, len(rows) - 1)
    parts = []
    for start, tile in tiles(rows):
        apart = squared_distances(tile, rows)
        index = torch.arange(len(tile))
        apart[index, start + index] = -1  # itself comes first, whatever the rounding
        parts.append(apart.topk(k + 1, dim=1, largest=False).values[:, 1:])
    return torch.cat(parts)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, D) float64, (M, D) any float → (N, M) float64."""
    apart = torch.empty(len(a), len(b), dtype=torch.float64)
    for start in range(0, len(b), BLOCK):
        block = b[start : start + BLOCK].double()
        part = apart[:, start : start + BLOCK]
        torch.addmm(block.square().sum(dim=1), a, block.T, alpha=-2, out=part)
    return apart.add_(a.square().sum(dim=1, keepdim=True)).clamp_(min=0)
