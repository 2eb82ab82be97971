"""The generator's exponential moving average: what is sampled and shared."""

from __future__ import annotations

import copy

import torch

from ..interfaces import Generator


class EMA:
    """Average of the parameters with a half-life in images; buffers are copied.

    β = 0.5^(batch / half-life); with a ramp-up the half-life is at most that share of the
    images seen, so that the start of the run is forgotten (Karras et al. 2020b).
    """

    def __init__(self, generator: Generator, kimg: float, rampup: float | None) -> None:
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        self._half_life, self._rampup = kimg * 1000, rampup

    @torch.no_grad()
    def update(self, live: Generator, batch: int, images: int) -> None:
        """After a step of `batch` images; `images` were seen before it."""
        half_life = self._half_life
        if self._rampup is not None:
            half_life = min(half_life, images * self._rampup)
        beta = 0.5 ** (batch / max(half_life, 1e-8))
        torch._foreach_lerp_(list(self.generator.parameters()), list(live.parameters()), 1 - beta)
        if buffers := list(live.buffers()):  # in one go: on a GPU each copy costs a launch
            torch._foreach_copy_(list(self.generator.buffers()), buffers)
