"""Logits and losses that run away."""

from __future__ import annotations

import math
from typing import Any

DIVERGED = "divergence"
"""What the warning is about. The other detectors are silent after it: all they could tell of
follows from it."""
REACH = 10.0
"""Reals and fakes may be apart by so many times √(C·H·W) logits.

A critic of slope 1, as Wasserstein objectives want it, can tell images in [-1, 1] apart by
2·√(C·H·W) at most.
"""


class Divergence:
    """How far apart D's mean logits of reals and fakes are."""

    def __init__(self, session: Any) -> None:
        self._session = session
        spec = session.plan.spec
        self._limit = REACH * math.sqrt(spec.channels * spec.height * spec.width)

    def look(self, figures: dict[str, float]) -> None:
        """Warn by the figures of a line of the log."""
        gap = abs(figures.get("logits/real", 0.0) - figures.get("logits/fake", 0.0))
        if gap > self._limit or math.isnan(gap):
            self._session.warn(
                DIVERGED,
                f"the run diverges: the discriminator's logits of real and generated images are "
                f"{gap:,.0f} apart. Try a tenth of the learning rates (--lr), or a gradient "
                "penalty (--objective.r1-gamma 1); go on from an earlier checkpoint",
            )
