"""Learning-rate factors over the images shown."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from ..interfaces import Progress


def parse_schedule(text: str, where: str) -> Callable[[Progress], float]:
    """`constant`, `linear` and `cosine` (both to 0 at the end), or `KIMG:FACTOR,…`.

    Between points the factor is interpolated, before the first and after the last it stays.
    """
    if text == "constant":
        return lambda progress: 1.0
    if text == "linear":
        return lambda progress: 1.0 - progress.fraction
    if text == "cosine":
        return lambda progress: 0.5 + 0.5 * math.cos(math.pi * progress.fraction)
    try:
        points = [tuple(map(float, point.split(":"))) for point in text.split(",")]
        kimgs, factors = zip(*points, strict=True)
        if list(kimgs) != sorted(set(kimgs)) or not all(0 <= f < math.inf for f in factors):
            raise ValueError
    except ValueError:
        raise UserError(
            f"{where}: {text!r} is not constant, linear, cosine or rising points "
            "KIMG:FACTOR such as 0:1,100:1,200:0"
        ) from None

    def factor(progress: Progress) -> float:
        right = bisect_right(kimgs, progress.kimg)
        if right == 0 or right == len(kimgs):
            return float(factors[min(right, len(kimgs) - 1)])
        share = (progress.kimg - kimgs[right - 1]) / (kimgs[right] - kimgs[right - 1])
        return float(factors[right - 1] + share * (factors[right] - factors[right - 1]))

    return factor
