"""Kernel Inception distance (Bińkowski et al. 2018): an unbiased estimate, also of few images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganctl import UserError

from . import KIDOptions
from .feature_evaluator import BankEvaluator
from .rows import tiles


class KernelDistance(BankEvaluator):
    """kid, and its deviation over the subsets where these are smaller than the sets."""

    def __init__(self, options: KIDOptions) -> None:
        super().__init__(options)
        self._options = options

    def compute(self) -> dict[str, float]:
        reals, fakes = self.bank.reals.in_order(), self.bank.fakes.in_order()
        if min(len(reals), len(fakes)) < 2:
            raise UserError("kid: needs two images of each side at least")
        options = self._options
        values = kernel_distances(
            reals, fakes, options.subsets, options.subset_size, options.subset_seed
        )
        figures = {self.space.named("kid"): float(values.mean())}
        if options.subset_size < max(len(reals), len(fakes)):  # else every subset is the whole
            figures[self.space.named("kid-deviation")] = float(values.std(correction=0))
        return figures


def kernel_distances(reals: Tensor, fakes: Tensor, subsets: int, size: int, seed: int) -> Tensor:
    """MMD² with the kernel (x·y / D + 1)³, (subsets,) float64, of (N, D) and (M, D).

    Unbiased, and so sometimes negative. Subsets are drawn by NumPy's `RandomState(seed)`,
    generated images first, as the reference implementation draws them.
    """
    size = min(size, len(reals), len(fakes))
    draw = np.random.RandomState(seed)
    pairs = [
        (draw.choice(len(fakes), size, replace=False), draw.choice(len(reals), size, replace=False))
        for _ in range(subsets)
    ]
    of_fakes, of_reals = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
    whole = len(reals) ** 2 + len(fakes) ** 2 + len(reals) * len(fakes)
    if whole < 3 * subsets * size**2:  # kernels of all with all cost less than of each subset
        sums = [
            _sums_of_all(fakes, fakes, of_fakes, of_fakes),
            _sums_of_all(reals, reals, of_reals, of_reals),
            _sums_of_all(fakes, reals, of_fakes, of_reals),
        ]
    else:
        sums = [
            _sums_of_each(fakes, fakes, of_fakes, of_fakes),
            _sums_of_each(reals, reals, of_reals, of_reals),
            _sums_of_each(fakes, reals, of_fakes, of_reals),
        ]
    selves = _selves(fakes)[of_fakes].sum(dim=1) + _selves(reals)[of_reals].sum(dim=1)
    return (sums[0] + sums[1] - selves) / (size * (size - 1)) - 2 * sums[2] / size**2


def _sums_of_each(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """Of each pair of subsets (S, n) the sum of all kernels, (S,)."""
    sums = [_kernel(x[i].double(), y[j].double()).sum() for i, j in zip(of_x, of_y, strict=True)]
    return torch.stack(sums)


def _sums_of_all(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """The same, from kernels of all of x with all of y: 1ₓᵀ K 1ᵧ."""
    y = y.double()
    in_x, in_y = _indicators(of_x, len(x)), _indicators(of_y, len(y))
    sums = torch.zeros(len(of_x), dtype=torch.float64)
    for start, tile in tiles(x):
        columns = in_x[:, start : start + len(tile)] @ _kernel(tile, y)
        sums += (columns * in_y).sum(dim=1)
    return sums


def _indicators(subsets: Tensor, count: int) -> Tensor:
    return torch.zeros(len(subsets), count, dtype=torch.float64).scatter_(1, subsets, 1.0)


def _selves(x: Tensor) -> Tensor:
    """(N,): the kernel of each with itself."""
    squares = torch.cat([tile.square().sum(dim=1) for _, tile in tiles(x)])
    return (squares / x.shape[1] + 1).pow(3)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).pow(3)
