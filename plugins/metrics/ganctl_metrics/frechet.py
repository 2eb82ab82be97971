"""The Fréchet distance between two Gaussians, from moments that are summed as images come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_BUFFER = 512
"""Rows that are multiplied at a time."""


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) in float64, estimated from `count` vectors.

    A count of 0: nobody knows how many.
    """

    mean: Tensor
    covariance: Tensor
    count: int = 0

    @cached_property
    def root(self) -> Tensor:
        """(D, R) A with A Aᵀ the covariance, R its numerical rank."""
        smallest = len(self.mean) * torch.finfo(torch.float64).eps  # of what is no rounding
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(self.covariance)
        pivots = factor.diagonal().square()
        if not failed and pivots.min() > smallest * pivots.max():
            return factor  # a tenth of an eigendecomposition's time
        values, vectors = torch.linalg.eigh(self.covariance)
        kept = slice(len(values) - int((values > smallest * values[-1]).sum()), None)
        root: Tensor = vectors[:, kept] * values[kept].sqrt()
        return root

    @property
    def full(self) -> bool:
        """Whether the covariance has an inverse."""
        return self.root.shape[1] == len(self.mean)


class Moments:
    """Sums over feature vectors, in float64; the vectors themselves are not kept."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[Tensor] = []
        self._sum = torch.zeros(0)
        self._products = torch.zeros(0)

    def add(self, features: Tensor) -> None:
        """(N, D), any float."""
        self._waiting.append(features)
        self.count += len(features)
        if sum(map(len, self._waiting)) >= _BUFFER:
            self._flush()

    def gaussian(self) -> Gaussian:
        """The mean and the unbiased covariance (divided by N − 1) of two vectors or more."""
        self._flush()
        mean = self._sum / self.count
        scatter = self._products - self.count * mean.outer(mean)
        return Gaussian(mean, scatter / (self.count - 1), self.count)

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = torch.cat(self._waiting).double()
        self._waiting.clear()
        if self._sum.numel() == 0:
            width = rows.shape[1]
            self._sum = torch.zeros(width, dtype=torch.float64)
            self._products = torch.zeros(width, width, dtype=torch.float64)
        self._sum += rows.sum(dim=0)
        self._products.addmm_(rows.T, rows)


def gaussian_of(rows: Tensor) -> Gaussian:
    """Of vectors (N, D) that are all at hand."""
    moments = Moments()
    moments.add(rows)
    return moments.gaussian()


def frechet_of_few(x: Tensor, y: Tensor) -> float:
    """Of vectors (N, D), (M, D), no more than dimensions: a thousand times less work than
    through covariances, from the nuclear norm of the centred vectors' products."""
    x, y = x.double(), y.double()
    apart = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    x, y = ((side - side.mean(dim=0)) / (len(side) - 1) ** 0.5 for side in (x, y))
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return max(0.0, float(apart + x.square().sum() + y.square().sum() - 2 * cross))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) (Dowson & Landau 1982).

    With Σ₁ = A Aᵀ the eigenvalues of Σ₁ Σ₂ are those of the symmetric Aᵀ Σ₂ A. Where a
    covariance is singular (no more vectors than dimensions), the sum of their roots is that of
    the singular values of Aᵀ B: nothing is squared there, and no zero comes out as √ε.
    """
    apart = (a.mean - b.mean).square().sum()
    if a.full and b.full:
        values = torch.linalg.eigvalsh(a.root.T @ b.covariance @ a.root)
        cross = values.clamp(min=0).sqrt().sum()
    else:
        cross = torch.linalg.svdvals(a.root.T @ b.root).sum()
    distance = apart + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(0.0, float(distance))
