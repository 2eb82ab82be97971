"""Inception score (Salimans et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganctl import ImageBatch, UserError

from . import ISOptions
from .feature_evaluator import FeatureEvaluator
from .rows import Rows


class InceptionScore(FeatureEvaluator):
    """is and is-deviation: mean and deviation over parts of the images, in their own order."""

    def __init__(self, options: ISOptions) -> None:
        super().__init__(options)
        self._splits = options.splits
        self._features = Rows()

    def update(self, batch: ImageBatch, real: bool) -> None:
        if not real:
            self._features.add(batch.features(self.space), batch.rows)

    def compute(self) -> dict[str, float]:
        if len(self._features) < self._splits:
            raise UserError(f"is: {len(self._features)} images make no {self._splits} parts")
        rows = self._features.in_order().split(1024)  # type: ignore[no-untyped-call]
        probabilities = torch.cat([self.space.probabilities(part) for part in rows])
        mean, deviation = inception_score(probabilities, self._splits)
        return {self.space.named("is"): mean, self.space.named("is-deviation"): deviation}

    def forget_fakes(self) -> None:
        self._features.clear()


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
