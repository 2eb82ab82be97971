"""What a run logged, as curves over the images shown; for the commands that draw them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .console import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

    from ..training.best import Best

PANELS = {
    "loss": "loss",
    "logits": "logits of D (mean)",
    "grad_norm": "gradient norm",
    "penalty": "penalty terms",
    "diversity": "diversity (1: the set's)",
    "augment": "augmentation",
    "d": "D: share of right pairs",
    "sign": "mean sign of D's logits",
    "images_per_second": "images per second",
}
"""Name prefixes in log.jsonl that are drawn, and what their axis says."""

X_LABEL = "images shown to D (thousands)"


@dataclass(frozen=True)
class Curve:
    """One figure over the images shown."""

    kimg: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Figures:
    """The curves of log.jsonl and of metrics.jsonl, by name."""

    log: dict[str, Curve]
    metrics: dict[str, Curve]

    def drawn(self, prefix: str) -> dict[str, Curve]:
        """The curves of the log whose names begin so: `loss` finds `loss/G`, `loss/D` …"""
        return {n: c for n, c in self.log.items() if n.partition("/")[0] == prefix}


def read_figures(run: Path) -> Figures:
    """The curves of a run. Raises `UserError` when nothing is logged."""
    from ..training.run import read_log

    curves = []
    for name in ("log.jsonl", "metrics.jsonl"):
        try:
            curves.append(_curves(read_log(run, name)))
        except OSError as error:
            raise UserError(f"{run / name}: {error.strerror}") from None
    if not curves[0]:
        raise UserError(f"{run}: nothing logged yet (no log.jsonl, or an empty one)")
    return Figures(*curves)


def best_of(run: Path) -> Best | None:
    """What the run's best.json says; a damaged one is told of and does without."""
    from ..training.best import read_best

    try:
        return read_best(run)
    except UserError as error:
        say(f"ganctl: warning: {error}")
        return None


def to_png(figure: Figure) -> bytes:
    """The drawing as a PNG of the commands' resolution."""
    from ..images import draw_png

    return draw_png(figure, 120)


def panels(figure: FigureBase, titles: Sequence[str], across: int) -> list[Axes]:
    """Axes over the images shown, in rows; the lowest of every column says what it is over."""
    rows = max(1, math.ceil(len(titles) / across))
    axes = figure.subplots(rows, max(1, min(across, len(titles))), squeeze=False, sharex=True)
    for number, (axis, title) in enumerate(zip(axes.flat, titles, strict=False)):
        axis.set_title(title, fontsize="medium")
        axis.grid(alpha=0.3)
        if number + across >= len(titles):
            axis.set_xlabel(X_LABEL, fontsize="small")
            axis.tick_params(labelbottom=True)
    for axis in axes.flat[len(titles) :]:
        axis.set_axis_off()
    return list(axes.flat[: len(titles)])


def _curves(records: Iterable[Any]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for record in records:
        if not isinstance(record, dict) or not _finite(record.get("images")):
            continue
        for name, value in record.items():
            if name not in ("images", "step") and _finite(value):
                curve = curves.setdefault(name, Curve())
                curve.kimg.append(record["images"] / 1000)
                curve.values.append(value)
    return curves


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
