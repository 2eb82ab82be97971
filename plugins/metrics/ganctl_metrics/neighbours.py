"""Figures by nearest neighbours: how much of each side lies where the other one is."""

from __future__ import annotations

import torch
from torch import Tensor

from ganctl import ImageBatch, UserError

from . import FeatureOptions
from .feature_evaluator import FeatureEvaluator
from .rows import Rows, tiles


class NeighbourEvaluator(FeatureEvaluator):
    """Holds the features of both sides."""

    name: str

    def __init__(self, options: FeatureOptions, k: int) -> None:
        super().__init__(options)
        self._k = k
        self._rows = {True: Rows(), False: Rows()}
        self._real_radii: Tensor | None = None

    def update(self, batch: ImageBatch, real: bool) -> None:
        self._rows[real].add(batch.features(self.space), batch.rows)

    def forget_fakes(self) -> None:
        self._rows[False].clear()

    def sides(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features of reals and fakes (N, D), and the reals' radii (N,)."""
        reals, fakes = self._rows[True].in_order(), self._rows[False].in_order()
        if min(len(reals), len(fakes)) <= self._k:
            raise UserError(f"{self.name}: k {self._k} needs more images than that of each side")
        if self._real_radii is None:
            self._real_radii = radii(reals, self._k)
        return reals, fakes, self._real_radii


class PrecisionRecall(NeighbourEvaluator):
    """precision: fakes in the neighbourhood of a real; recall: reals in that of a fake."""

    name = "precision-recall"

    def compute(self) -> dict[str, float]:
        reals, fakes, real_radii = self.sides()
        precision, recall = precision_recall(reals, fakes, real_radii, radii(fakes, self._k))
        named = self.space.named
        return {named("precision"): precision, named("recall"): recall}


class DensityCoverage(NeighbourEvaluator):
    """density: in how many neighbourhoods of reals a fake is; coverage: reals that have one."""

    name = "density-coverage"

    def compute(self) -> dict[str, float]:
        reals, fakes, real_radii = self.sides()
        density, coverage = density_coverage(reals, fakes, real_radii, self._k)
        named = self.space.named
        return {named("density"): density, named("coverage"): coverage}


def precision_recall(
    reals: Tensor, fakes: Tensor, real_radii: Tensor, fake_radii: Tensor
) -> tuple[float, float]:
    """Kynkäänniemi et al. 2019, equations 1 and 2. Features (N, D), radii (N,) of each."""
    precise, recalled = torch.zeros(len(fakes), dtype=torch.bool), []
    for start, tile in tiles(reals):
        apart = distances(tile, fakes)
        precise |= (apart <= real_radii[start : start + len(tile), None]).any(dim=0)
        recalled.append((apart <= fake_radii).any(dim=1))
    return float(precise.double().mean()), float(torch.cat(recalled).double().mean())


def density_coverage(
    reals: Tensor, fakes: Tensor, real_radii: Tensor, k: int
) -> tuple[float, float]:
    """Naeem et al. 2020, section 3."""
    inside, covered = 0, []
    for start, tile in tiles(reals):
        within = distances(tile, fakes) < real_radii[start : start + len(tile), None]
        inside += int(within.sum())
        covered.append(within.any(dim=1))
    return inside / (k * len(fakes)), float(torch.cat(covered).double().mean())


def radii(rows: Tensor, k: int) -> Tensor:
    """(N, D) → (N,): the distance of each to its k-th nearest other."""
    parts = []
    for start, tile in tiles(rows):
        apart = distances(tile, rows)
        index = torch.arange(len(tile))
        apart[index, start + index] = -1  # itself comes first, whatever the rounding
        parts.append(apart.kthvalue(k + 1, dim=1).values)
    return torch.cat(parts)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (M, D) → (N, M) float64."""
    parts = []
    for _, tile in tiles(b):
        squares = a.square().sum(dim=1)[:, None] + tile.square().sum(dim=1) - 2 * a @ tile.T
        parts.append(squares.clamp_(min=0).sqrt_())
    return torch.cat(parts, dim=1)
