"""Inception score (Salimans et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganctl import ImageBatch, UserError

from . import ISOptions
from .feature_evaluator import BankEvaluator


class InceptionScore(BankEvaluator):
    """is and is-deviation: mean and deviation over parts of the images, in their own order."""

    def __init__(self, options: ISOptions) -> None:
        super().__init__(options)
        self._splits = options.splits

    def update(self, batch: ImageBatch, real: bool) -> None:
        if not real:  # it knows no set
            super().update(batch, real)

    def compute(self) -> dict[str, float]:
        fakes = self.bank.fakes
        if len(fakes) < self._splits:
            raise UserError(f"is: {len(fakes)} images make no {self._splits} parts")
        rows = fakes.in_order().split(1024)  # type: ignore[no-untyped-call]
        probabilities = torch.cat([self.space.probabilities(part) for part in rows])
        mean, deviation = inception_score(probabilities, self._splits)
        return {self.space.named("is"): mean, self.space.named("is-deviation"): deviation}


def inception_score(probabilities: Tensor, splits: int) -> tuple[float, float]:
    """exp(mean KL(p(y|x) ‖ p(y))) of each of `splits` parts of (N, classes): their mean, and
    deviation with ddof 0."""
    count = len(probabilities)
    scores = []
    for part in range(splits):
        p = probabilities[part * count // splits : (part + 1) * count // splits].double()
        entropy = torch.special.entr(p).sum(dim=1).mean()
        scores.append((torch.special.entr(p.mean(dim=0)).sum() - entropy).exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))
