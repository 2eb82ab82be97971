"""Figures by nearest neighbours: how much of each side lies where the other one is."""

from __future__ import annotations

import torch
from torch import Tensor

from ganctl import UserError

from . import FeatureOptions
from .feature_evaluator import BankEvaluator
from .rows import squared_distances, squared_radii, tiles


class NeighbourEvaluator(BankEvaluator):
    """Has neighbourhoods of the reals."""

    name: str

    def __init__(self, options: FeatureOptions, k: int) -> None:
        super().__init__(options)
        self.k = k

    def sides(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features of reals and fakes (N, D), and the reals' squared radii (N,)."""
        if min(len(self.bank.reals), len(self.bank.fakes)) <= self.k:
            raise UserError(f"{self.name}: k {self.k} needs more images than that of each side")
        radii = self.bank.squared_radii_of_reals(self.k)
        return self.bank.reals.in_order(), self.bank.fakes.in_order(), radii


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
    precise, recalled = torch.zeros(len(fakes), dtype=torch.bool), []
    for start, tile in tiles(reals):
        apart = squared_distances(tile, fakes)
        precise |= (apart <= real_radii[start : start + len(tile), None]).any(dim=0)
        recalled.append((apart <= fake_radii).any(dim=1))
    return float(precise.double().mean()), float(torch.cat(recalled).double().mean())


def density_coverage(
    reals: Tensor, fakes: Tensor, real_radii: Tensor, k: int
) -> tuple[float, float]:
    """Naeem et al. 2020, section 3. Features (N, D), squared radii (N,)."""
    inside, covered = 0, []
    for start, tile in tiles(reals):
        within = squared_distances(tile, fakes) < real_radii[start : start + len(tile), None]
        inside += int(within.sum())
        covered.append(within.any(dim=1))
    return inside / (k * len(fakes)), float(torch.cat(covered).double().mean())
