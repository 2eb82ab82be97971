"""Kernel Inception distance (Bińkowski et al. 2018): an unbiased estimate, also of few images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganctl import ImageBatch, ImageSet, UserError

from . import KIDOptions
from .feature_evaluator import FeatureEvaluator
from .rows import RealRows, Rows, rows_of_set


class KernelDistance(FeatureEvaluator):
    """kid, and its deviation over the subsets."""

    def __init__(self, options: KIDOptions) -> None:
        super().__init__(options)
        self._options = options
        self._reals, self._fakes = RealRows(), Rows()

    def fit(self, reals: ImageSet) -> None:
        super().fit(reals)
        self._reals = rows_of_set(self.space.key, reals.fingerprint)

    def update(self, batch: ImageBatch, real: bool) -> None:
        (self._reals if real else self._fakes).add(batch.features(self.space), batch.rows)

    def compute(self) -> dict[str, float]:
        reals, fakes = self._reals.in_order(), self._fakes.in_order()
        if min(len(reals), len(fakes)) < 2:
            raise UserError("kid: needs two images of each side at least")
        values = kernel_distances(
            reals, fakes, self._options.subsets, self._options.subset_size, self._options.seed
        )
        return {
            self.space.named("kid"): float(values.mean()),
            self.space.named("kid-deviation"): float(values.std(correction=0)),
        }

    def forget_fakes(self) -> None:
        self._fakes.clear()


def kernel_distances(reals: Tensor, fakes: Tensor, subsets: int, size: int, seed: int) -> Tensor:
    """MMD² with the kernel (x·y / D + 1)³, of so many pairs of subsets of (N, D) each.

    Unbiased, and so sometimes negative. Subsets are drawn by NumPy's `RandomState(seed)`,
    generated images first, as the reference implementation draws them. float64.
    """
    size = min(size, len(reals), len(fakes))
    draw = np.random.RandomState(seed)
    pairs = [
        (draw.choice(len(fakes), size, replace=False), draw.choice(len(reals), size, replace=False))
        for _ in range(subsets)
    ]
    if size == len(reals) == len(fakes):  # every subset is the whole
        pairs = pairs[:1]
    values = [_mmd(reals[second].double(), fakes[first].double()) for first, second in pairs]
    return torch.stack(values).expand(len(values) if len(pairs) > 1 else subsets)


def _mmd(x: Tensor, y: Tensor) -> Tensor:
    n = len(x)
    within = sum((kernel := _kernel(side, side)).sum() - kernel.diagonal().sum() for side in (x, y))
    return within / (n * (n - 1)) - 2 * _kernel(x, y).mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).pow(3)
