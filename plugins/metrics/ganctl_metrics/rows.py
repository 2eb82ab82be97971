"""Feature vectors held for metrics that compare each with each."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakValueDictionary

import torch
from torch import Tensor

TILE = 1024
"""Rows at a time, where each is compared with each."""


class Rows:
    """Vectors by the numbers of their images, in whatever order they come."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._numbers: list[Tensor] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def add(self, features: Tensor, numbers: Tensor) -> None:
        """(N, D) float32 and the images' numbers (N,). The tensor is held, not copied."""
        self._parts.append(features)
        self._numbers.append(numbers)

    def clear(self) -> None:
        self._parts.clear()
        self._numbers.clear()

    def in_order(self) -> Tensor:
        """(N, D), sorted by number."""
        if len(self._parts) > 1:
            numbers = torch.cat(self._numbers)
            order = numbers.argsort(stable=True)
            self._parts, self._numbers = [torch.cat(self._parts)[order]], [numbers[order]]
        return self._parts[0] if self._parts else torch.empty(0, 0)


class RealRows(Rows):
    """Those of a set, held once for all evaluators, with what is found out about them."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[int] = set()
        self._nearest = torch.empty(0, 0)

    def add(self, features: Tensor, numbers: Tensor) -> None:
        if int(numbers[0]) not in self._seen:  # else another evaluator brought this batch
            self._seen.add(int(numbers[0]))
            super().add(features, numbers)

    def squared_radii(self, k: int) -> Tensor:
        """(N,): of each the squared distance to its k-th nearest other."""
        if self._nearest.shape != (len(self), max(k, MOST_ASKED)):
            self._nearest = squared_radii(self.in_order(), max(k, MOST_ASKED))
        return self._nearest[:, k - 1]


MOST_ASKED = 5
"""The default evaluators' largest k: one search serves them all."""

_shared: WeakValueDictionary[tuple[str, str], RealRows] = WeakValueDictionary()


def rows_of_set(space: str, fingerprint: str) -> RealRows:
    """The same object as long as somebody holds it."""
    return _shared.setdefault((space, fingerprint), RealRows())


def tiles(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(first row, some rows in float64) pairs."""
    for start in range(0, len(rows), TILE):
        yield start, rows[start : start + TILE].double()


def squared_radii(rows: Tensor, k: int) -> Tensor:
    """(N, D) → (N, k) float64: of each the squared distances to its nearest others."""
    rows = rows.double()
    k = min(k, len(rows) - 1)
    squares = rows.square().sum(dim=1)
    parts = []
    for start, tile in tiles(rows):
        apart = partial_squares(tile, rows, squares)
        index = torch.arange(len(tile))
        apart[index, start + index] = -torch.inf  # itself comes first, whatever the rounding
        nearest = apart.topk(k + 1, dim=1, largest=False).values[:, 1:]
        parts.append((nearest + squares[start : start + len(tile), None]).clamp_(min=0))
    return torch.cat(parts)


def partial_squares(a: Tensor, b: Tensor, b_squares: Tensor) -> Tensor:
    """(N, D), (M, D) → (N, M): |a − b|² − |a|². One pass over a large matrix, not five."""
    return torch.addmm(b_squares, a, b.T, alpha=-2)
