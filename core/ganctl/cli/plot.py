"""`ganctl plot`: a run's losses and figures over the images shown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .figures import PANELS, Figures, best_of, panels, read_figures, to_png
from .parse import existing, run_command

if TYPE_CHECKING:
    from ..training.best import Best

ACROSS = 3
"""Panels in a row."""


def run(argv: list[str]) -> int:
    return run_command(plot, "plot", argv)


def plot(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="The run folder.")],
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="The PNG to write [RUN/plot.png].")
    ] = None,
) -> int:
    """Draw a run's losses, logits, gradient norms and metrics as one PNG."""
    from ..files import write_atomically

    figures = read_figures(existing(folder))
    file = Path(out) if out else Path(folder) / "plot.png"
    write_atomically(file, draw(figures, best_of(Path(folder)), Path(folder).resolve().name))
    print(file)
    return 0


def draw(figures: Figures, best: Best | None, title: str) -> bytes:
    """The PNG: one panel per group of figures and one per metric, the best checkpoint marked."""
    from matplotlib.figure import Figure

    drawn = {label: figures.drawn(prefix) for prefix, label in PANELS.items()}
    drawn |= {name: {name: curve} for name, curve in figures.metrics.items()}
    drawn = {label: lines for label, lines in drawn.items() if lines}
    if not drawn:
        raise UserError(f"{title}: its log holds none of the figures that are drawn")
    rows, columns = math.ceil(len(drawn) / ACROSS), min(ACROSS, len(drawn))
    figure = Figure(figsize=(4.2 * columns, 2.7 * rows + 0.7), layout="constrained")
    for axis, lines in zip(panels(figure, list(drawn), ACROSS), drawn.values(), strict=True):
        for name, curve in lines.items():
            axis.plot(curve.kimg, curve.values, label=name.partition("/")[2] or name, linewidth=1.2)
        if best is not None:
            mark = axis.axvline(best.images / 1000, color="#555555", linestyle=":", linewidth=1.5)
        if len(lines) > 1:
            axis.legend(fontsize="small")
    if best is not None:
        text = f"best {best.metric}: {best.value:.4g} at {best.images / 1000:g} kimg"
        figure.legend([mark], [text], loc="outside upper right", fontsize="small")
    figure.suptitle(title)
    return to_png(figure)
