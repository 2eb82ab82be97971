"""What evaluators that look at features share: the space, and the names of figures in it."""

from __future__ import annotations

from ganctl import Evaluator, ImageBatch, ImageSet

from . import FeatureOptions
from .rows import Bank, bank_of
from .spaces import open_space

FEW = 2048
"""Images under which an estimate says little: the covariance of 2,048 features is singular."""


class FeatureEvaluator(Evaluator):
    """Looks at images through an extractor."""

    def __init__(self, options: FeatureOptions) -> None:
        self.space = open_space(options)

    def fit(self, reals: ImageSet) -> None:
        self.space = self.space.fitted(reals)

    def about(self) -> dict[str, str]:
        return self.space.about()


class BankEvaluator(FeatureEvaluator):
    """Holds the features of both sides, together with others in the same space."""

    def __init__(self, options: FeatureOptions) -> None:
        super().__init__(options)
        self.bank = Bank()

    def fit(self, reals: ImageSet) -> None:
        super().fit(reals)
        self.bank = bank_of(reals, self.space.key)

    def update(self, batch: ImageBatch, real: bool) -> None:
        self.bank.side(real).add(batch.features(self.space), batch.rows)

    def forget_fakes(self) -> None:
        self.bank.fakes.clear()

    def notes(self) -> list[str]:
        return few(len(self.bank.reals), len(self.bank.fakes))


def few(*counts: int) -> list[str]:
    """A warning where figures are of too few images to be quoted; a count of 0 is not known."""
    fewest = min((count for count in counts if count), default=FEW)
    if fewest >= FEW:
        return []
    return [
        f"{fewest:,} images are under {FEW:,}: the figures vary much, FID's are biased upwards, "
        "and they compare only with others of as many"
    ]
