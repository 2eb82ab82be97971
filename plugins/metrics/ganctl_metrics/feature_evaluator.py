"""What evaluators that look at features share: the space, and the names of figures in it."""

from __future__ import annotations

from ganctl import Evaluator, ImageSet

from . import FeatureOptions
from .spaces import open_space


class FeatureEvaluator(Evaluator):
    """Looks at images through an extractor."""

    def __init__(self, options: FeatureOptions) -> None:
        self.space = open_space(options)

    def fit(self, reals: ImageSet) -> None:
        self.space = self.space.fitted(reals)

    def about(self) -> dict[str, str]:
        return self.space.about()
