"""Running means of a run's figures, read from the device only when they are wanted."""

from __future__ import annotations

import torch
from torch import Tensor


class Tally:
    """Weighted means since the last `flush`, over the finite values."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._weights: dict[str, list[float]] = {}

    def add(self, name: str, value: Tensor, weight: float = 1.0) -> None:
        """A scalar tensor on any device; nothing waits for it here."""
        self._values.setdefault(name, []).append(value)
        self._weights.setdefault(name, []).append(weight)

    def flush(self) -> dict[str, float]:
        """The means by name, NaN where nothing was finite; starts over."""
        means = {}
        for name, values in self._values.items():
            stacked = torch.stack(values).double()
            weights = torch.tensor(self._weights[name], dtype=torch.float64, device=stacked.device)
            weights = weights.where(stacked.isfinite(), 0)
            means[name] = float((stacked.nan_to_num(0, 0, 0) * weights).sum() / weights.sum())
        self._values.clear()
        self._weights.clear()
        return means
