"""How unlike each other generated images are, compared with the set's."""

from __future__ import annotations

import shlex
from collections import deque
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganctl import Progress

from .divergence import DIVERGED
from .probe import Probe

LOW, HEALTHY = 0.15, 0.3
"""Below LOW images are alike; from HEALTHY on they are known to have been different."""
IN_A_ROW, RISING = 5, 1.2
"""So many lines of the log have to be low, and the last not above the first by this factor."""
PATIENCE, LEAST = 0.25, 10.0
"""A generator that never was diverse is given this share of the run, and so many kimg."""


class Diversity:
    """The mean distance between images of 64 fixed latents in a simple feature space.

    Divided by that between 64 real images: 1 is as diverse as the set, 0 all the same.
    """

    def __init__(self, session: Any) -> None:
        self._session, self._probe = session, Probe.of(session)
        self._of_reals = spread(self._probe.reals)
        self._was_healthy = False
        self._last: deque[float] = deque(maxlen=IN_A_ROW)
        if self._of_reals < 1e-3:
            session.warn(
                "constant set",
                "the images of the set look all the same: nothing can be learnt from them; "
                f"look at the set: ganctl inspect {shlex.quote(str(session.plan.data))}",
            )

    def measure(self) -> dict[str, float]:
        if self._of_reals < 1e-3:
            return {}
        return {"diversity": spread(self._probe.fakes()) / self._of_reals}

    def look(self, progress: Progress, figures: dict[str, float]) -> None:
        """Warn by the figures of a line of the log."""
        ratio = figures.get("diversity")
        if ratio is None or DIVERGED in self._session.warned:
            return
        self._was_healthy |= ratio >= HEALTHY
        self._last.append(ratio)
        low = len(self._last) == IN_A_ROW and max(self._last) < LOW
        rising = self._last[-1] > RISING * self._last[0]  # it is only late
        late = progress.fraction >= PATIENCE and progress.kimg >= LEAST
        if low and not rising and (self._was_healthy or late):
            self._session.warn(
                "mode collapse",
                "the generator makes nearly the same image from every latent (diversity "
                f"{ratio:.0%} of the set's): mode collapse. Try an objective with a gradient "
                "penalty (--objective relativistic, or --objective.r1-gamma 1), lower learning "
                "rates, or a larger --batch; an earlier checkpoint may be better",
            )


def spread(images: Tensor) -> float:
    """Mean distance between the features of (N, C, H, W) images in [-1, 1]; 0 if all equal."""
    x = features(images)
    distances = torch.pdist(x)
    return float(distances.mean()) if distances.isfinite().all() else 0.0


def features(images: Tensor) -> Tensor:
    """(N, F): colours on an 8×8 grid, and how much edge there is, upright and level."""
    grid = (min(8, images.shape[2]), min(8, images.shape[3]))
    across = adaptive_avg_pool2d(images.diff(dim=3).abs(), grid)
    down = adaptive_avg_pool2d(images.diff(dim=2).abs(), grid)
    return torch.cat([adaptive_avg_pool2d(images, grid), across, down], dim=1).flatten(1)
