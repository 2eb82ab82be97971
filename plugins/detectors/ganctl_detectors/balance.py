"""Whether D still has something to learn from G, and G from D."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from .divergence import DIVERGED
from .probe import Probe

IN_A_ROW = 5
"""Lines of the log before a player counts as the winner."""
FADED = 0.01
"""D has nothing left to learn when its gradient has fallen to this share of its first one."""


class Balance:
    """How often D ranks a real above a fake."""

    def __init__(self, session: Any) -> None:
        self._session, self._probe = session, Probe.of(session)
        self._won = self._lost = 0
        self._first: float | None = None
        self._frozen = self._warn_of_rates(session.plan.settings)

    def _warn_of_rates(self, settings: Any) -> bool:
        """Whether a learning rate is 0: who wins then is no news."""
        rates = {
            "the generator is 0 (--g-lr)": settings.g_lr,
            "the discriminator is 0 (--d-lr)": settings.d_lr,
        }
        frozen = [text for text, rate in rates.items() if rate == 0]
        if frozen:
            text = frozen[0] if len(frozen) == 1 else "both players is 0 (--lr)"
            self._session.warn(
                "learning rate 0", f"the learning rate of {text}: nothing will be learnt there"
            )
        return bool(frozen)

    def measure(self) -> dict[str, float]:
        return {"d/accuracy": accuracy(*self._probe.logits())}

    def look(self, figures: dict[str, float]) -> None:
        """Warn by the figures of a line of the log."""
        right, gradient = figures.get("d/accuracy"), figures.get("grad_norm/D")
        if right is None or gradient is None or not math.isfinite(right + gradient):
            return
        if self._frozen or DIVERGED in self._session.warned:
            return
        if self._first is None:
            self._first = gradient
        # Being right is not enough: D is, for most of many a good run.
        self._won = self._won + 1 if right > 0.999 and gradient < FADED * self._first else 0
        self._lost = self._lost + 1 if right < 0.02 else 0
        if self._won == IN_A_ROW:
            self._session.warn(
                "discriminator wins",
                "the discriminator tells every image apart and has nothing left to learn, so the "
                "generator gets no useful direction from it. Try a lower --d-lr, "
                "--objective.r1-gamma 1, --objective bce with --objective.instance-noise 0.2 or "
                "--objective.label-smoothing 0.1, or a smaller discriminator",
            )
        if self._lost == IN_A_ROW:
            self._session.warn(
                "discriminator loses",
                "the discriminator takes every generated image for more real than the real ones: "
                "it does not learn. Is its learning rate far too low (--d-lr), are its "
                "weights frozen, or the penalties on it too strong?",
            )


def accuracy(real: Tensor, fake: Tensor) -> float:
    """Share of the pairs whose real has the higher logit; ties count half.

    It needs no threshold, so that it means the same for every objective.
    """
    difference = real.view(-1, 1) - fake.view(1, -1)
    return float(((difference.sign() + 1) / 2).mean())
