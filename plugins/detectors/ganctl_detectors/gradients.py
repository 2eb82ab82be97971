"""Gradient norms, against those at the start of the run."""

from __future__ import annotations

import math
from typing import Any

from .divergence import DIVERGED

START = 5
"""Lines of the log whose largest norm is the usual one, those apart that have exploded."""
VANISHED, EXPLODED = 1e-3, 100.0
"""Times the usual norm."""
IN_A_ROW = 5
"""Lines with vanished gradients before they are reported."""


class Gradients:
    """The norms that the log holds as `grad_norm/PHASE`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._first: dict[str, list[float]] = {}
        self._vanished: dict[str, int] = {}

    def look(self, figures: dict[str, float]) -> None:
        """Warn by the figures of a line of the log."""
        if DIVERGED in self._session.warned:
            return
        for name, norm in figures.items():
            prefix, _, phase = name.partition("/")
            if prefix != "grad_norm" or not math.isfinite(norm):  # the run itself counts those
                continue
            first = self._first.setdefault(phase, [])
            early = len(first) < START
            if early:
                first.append(norm)
            usual = max(n for n in first if n <= EXPLODED * max(min(first), 1e-3))
            if norm > EXPLODED * max(usual, 1e-3):
                self._session.warn(
                    f"exploding gradients {phase}",
                    f"the gradients of phase {phase} explode (norm {norm:.2g}, at the start "
                    f"{usual:.2g}). Try a tenth of the learning rates (--lr), or a gradient "
                    "penalty (--objective.r1-gamma 1)",
                )
            small = not early and norm <= VANISHED * usual
            self._vanished[phase] = self._vanished.get(phase, 0) + 1 if small else 0
            if self._vanished[phase] == IN_A_ROW:
                self._session.warn(
                    f"vanishing gradients {phase}",
                    f"the gradients of phase {phase} have vanished (norm {norm:.2g}, at the start "
                    f"{usual:.2g}): that player has stopped learning. Try an objective that does "
                    "not saturate (--objective hinge or relativistic), a lower learning rate for "
                    "the other player, or --arch options with normalisation",
                )
