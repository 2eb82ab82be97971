"""Figures by nearest neighbours: how much of each side lies where the other one is."""

from __future__ import annotations

import torch
from torch import Tensor

from ganctl import ImageBatch, ImageSet, UserError

from . import FeatureOptions
from .feature_evaluator import FeatureEvaluator
from .rows import RealRows, Rows, partial_squares, rows_of_set, squared_radii, tiles


class NeighbourEvaluator(FeatureEvaluator):
    """Holds the features of both sides."""

    name: str

    def __init__(self, options: FeatureOptions, k: int) -> None:
        super().__init__(options)
        self.k = k
        self.reals, self.fakes = RealRows(), Rows()

    def fit(self, reals: ImageSet) -> None:
        super().fit(reals)
        self.reals = rows_of_set(self.space.key, reals.fingerprint)

    def update(self, batch: ImageBatch, real: bool) -> None:
        (self.reals if real else self.fakes).add(batch.features(self.space), batch.rows)

    def forget_fakes(self) -> None:
        self.fakes.clear()

    def sides(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features of reals and fakes (N, D), and the reals' squared radii (N,)."""
        if min(len(self.reals), len(self.fakes)) <= self.k:
            raise UserError(f"{self.name}: k {self.k} needs more images than that of each side")
        return self.reals.in_order(), self.fakes.in_order(), self.reals.squared_radii(self.k)


class PrecisionRecall(NeighbourEvaluator):
    """precision: fakes in the neighbourhood of a real; recall: reals in that of a fake."""

    name = "precision-recall"

    def compute(self) -> dict[str, float]:
        reals, fakes, real_radii = self.sides()
        fake_radii = squared_radii(fakes, self.k)[:, -1]
        precision, recall = precision_recall(reals, fakes, real_radii, fake_radii)
        named = self.space.named
        return {named("precision"): precision, named("recall"): recall}


class DensityCoverage(NeighbourEvaluator):
    """density: in how many neighbourhoods of reals a fake is; coverage: reals that have one."""

    name = "density-coverage"

    def compute(self) -> dict[str, float]:
        reals, fakes, real_radii = self.sides()
        density, coverage = density_coverage(reals, fakes, real_radii, self.k)
        named = self.space.named
        return {named("density"): density, named("coverage"): coverage}


def precision_recall(
    reals: Tensor, fakes: Tensor, real_radii: Tensor, fake_radii: Tensor
) -> tuple[float, float]:
    """Kynkäänniemi et al. 2019, equations 1 and 2. Features (N, D), squared radii (N,)."""
    fakes = fakes.double()
    squares = fakes.square().sum(dim=1)
    precise, recalled = torch.zeros(len(fakes), dtype=torch.bool), []
    for start, tile in tiles(reals):
        own = tile.square().sum(dim=1, keepdim=True)
        apart = partial_squares(tile, fakes, squares).add_(own).clamp_(min=0)
        precise |= (apart <= real_radii[start : start + len(tile), None]).any(dim=0)
        recalled.append((apart <= fake_radii).any(dim=1))
    return float(precise.double().mean()), float(torch.cat(recalled).double().mean())


def density_coverage(
    reals: Tensor, fakes: Tensor, real_radii: Tensor, k: int
) -> tuple[float, float]:
    """Naeem et al. 2020, section 3. Features (N, D), squared radii (N,)."""
    fakes = fakes.double()
    squares = fakes.square().sum(dim=1)
    inside, covered = 0, []
    for start, tile in tiles(reals):
        own = tile.square().sum(dim=1, keepdim=True)
        apart = partial_squares(tile, fakes, squares).add_(own).clamp_(min=0)
        within = apart < real_radii[start : start + len(tile), None]
        inside += int(within.sum())
        covered.append(within.any(dim=1))
    return inside / (k * len(fakes)), float(torch.cat(covered).double().mean())
