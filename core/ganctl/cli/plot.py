"""`ganctl plot`: a run's losses and figures over the images shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .figures import DPI, PANELS, X_LABEL, Figures, read_figures
from .parse import existing, run_command


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
    write_atomically(file, draw(figures, Path(folder).name))
    print(file)
    return 0


def draw(figures: Figures, title: str) -> bytes:
    """The PNG: one panel per group of figures and one per metric."""
    from matplotlib.figure import Figure

    from ..images import draw_png

    panels = [(label, figures.drawn(prefix)) for prefix, label in PANELS.items()]
    panels += [(name, {name: curve}) for name, curve in figures.metrics.items()]
    panels = [(label, lines) for label, lines in panels if lines]
    figure = Figure(figsize=(8, 2.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, lines) in zip(axes, panels, strict=True):
        for name, curve in lines.items():
            axis.plot(curve.kimg, curve.values, label=name.partition("/")[2] or name, linewidth=1.2)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if len(lines) > 1:
            axis.legend(fontsize="small")
    axes[-1].set_xlabel(X_LABEL)
    figure.suptitle(title)
    return draw_png(figure, DPI)
