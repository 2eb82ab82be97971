"""sweep.png: the figure over what was varied."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..images import draw_png
from .results import Combination, Curve
from .trials import Axis, Sweep, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 40
"""Combinations in a dot plot: the best ones."""
BLUE, ORANGE, GREY, RED = "#2a6fbb", "#d9730d", "#8a8a8a", "#c0392b"


def draw(sweep: Sweep, ranked: list[Combination], lower: bool) -> bytes:
    """The PNG: curves for one number, a heat map for two options, else a sorted dot plot."""
    from matplotlib.figure import Figure

    varied = [i for i, axis in enumerate(sweep.axes) if len(axis.values) > 1] or [0]
    rows = min(len(ranked), ROWS)
    if len(varied) == 1 and sweep.axes[varied[0]].numeric:
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _over_option(left, sweep, varied[0], ranked)
        _over_kimg(right, sweep, varied[0], ranked)
    elif len(varied) == 2:
        columns, lines = (len(sweep.axes[i].values) for i in reversed(varied))
        size = (max(5.0, 2.6 + 0.95 * columns), max(3.2, 1.7 + 0.62 * lines))
        figure = Figure(figsize=size, layout="constrained")
        _heat_map(figure, sweep, varied[0], varied[1], ranked, lower)
    else:
        figure = Figure(figsize=(8, 1.6 + 0.3 * rows), layout="constrained")
        _dots(figure.subplots(), sweep, varied, ranked)
    better = "lower" if lower else "higher"
    figure.suptitle(f"{sweep.out.name}: {sweep.settings.metric} ({better} is better)", fontsize=11)
    return draw_png(figure, 130)


def _over_option(axes: Axes, sweep: Sweep, index: int, ranked: list[Combination]) -> None:
    """The figure of each trial, their mean, and the range over the seeds."""
    axis = sweep.axes[index]
    combinations = sorted(ranked, key=lambda c: float(c.values[index]))
    known = [c for c in combinations if c.figures]
    x = [c.values[index] for c in known]
    seeds = len(sweep.settings.seeds)
    if seeds > 1:
        low, high = [min(c.figures) for c in known], [max(c.figures) for c in known]
        axes.fill_between(
            x, low, high, color=BLUE, alpha=0.15, lw=0, label=f"range of {seeds} seeds"
        )
    axes.plot(x, [c.mean for c in known], color=BLUE, lw=1.6, label="mean" if seeds > 1 else None)
    dots = [(c.values[index], figure) for c in known for figure in c.figures]
    axes.plot(*_columns(dots), "o", color=BLUE, ms=4.5, mec="white", mew=0.6, label="trial")
    if known:
        best = next(c for c in ranked if c.figures)
        axes.plot(
            [best.values[index]], [best.mean], "*", color=ORANGE, ms=15, mec="white", mew=0.8,
            label=f"best: {label(best.values[index])}", zorder=5,
        )  # fmt: skip
    failed = [c.values[index] for c in combinations if c.failed]
    if failed:
        axes.plot(
            failed, [0.97] * len(failed), "x", color=RED, ms=8, mew=2, label="failed",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    if axis.log:
        axes.set_xscale("log")
    _log_if_wide(axes, [figure for _, figure in dots])
    axes.set_xlabel(axis.name)
    axes.set_ylabel(sweep.settings.metric)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def _over_kimg(axes: Axes, sweep: Sweep, index: int, ranked: list[Combination]) -> None:
    """The figure on the way, a colour for each value."""
    from matplotlib import colormaps

    combinations = sorted(ranked, key=lambda c: float(c.values[index]))
    shades = colormaps["viridis"]
    drawn = []
    for number, combination in enumerate(combinations):
        colour = shades(0.92 * number / max(1, len(combinations) - 1))
        name = label(combination.values[index])
        for result in combination.results:
            if result.curve:
                images, values = _columns(result.curve)
                marker = "o" if len(values) < 25 else None
                axes.plot(
                    [i / 1000 for i in images], values, marker=marker, ms=3, lw=1.3,
                    color=colour, alpha=0.85, label=name,
                )  # fmt: skip
                drawn += values
                name = "_"  # one entry in the legend for all seeds
    _log_if_wide(axes, drawn)
    axes.set_xlabel("images shown to D (thousands)")
    axes.set_ylabel(sweep.settings.metric)
    axes.grid(alpha=0.3)
    if drawn and len(combinations) <= 12:
        axes.legend(title=sweep.axes[index].name, fontsize="small", title_fontsize="small")


def _heat_map(
    figure: Figure,
    sweep: Sweep,
    down: int,
    across: int,
    ranked: list[Combination],
    lower: bool,
) -> None:
    """Means as colours and numbers; the range over the seeds below them."""
    import numpy as np

    axes = figure.subplots()
    rows, columns = (_ordered(sweep.axes[i]) for i in (down, across))
    places = {(rows.index(c.values[down]), columns.index(c.values[across])): c for c in ranked}
    means = np.full((len(rows), len(columns)), np.nan)
    for place, combination in places.items():
        means[place] = combination.mean
    shades = "viridis_r" if lower else "viridis"
    norm = "log" if _wide([v for v in means.flat if not math.isnan(v)]) else "linear"
    shown = np.ma.masked_invalid(means)
    axes.set_facecolor("#e6e6e6")
    image = axes.imshow(shown, cmap=shades, norm=norm, aspect="auto", origin="lower")
    best = next((c for c in ranked if c.figures), None)
    for (row, column), c in places.items():
        text = f"{c.mean:.3g}" if c.figures else "failed" if c.failed else "–"
        if len(c.figures) > 1:
            text += f"\n{min(c.figures):.3g} – {max(c.figures):.3g}"
        if c.failed and c.figures:
            text += f"\n{c.failed} failed"
        colour = "#555555"
        if c.figures:
            red, green, blue, _ = image.to_rgba(np.array([c.mean]))[0]
            colour = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=8.5, color=colour,
            weight="bold" if c is best else "normal",
        )  # fmt: skip
        if c is best:
            from matplotlib.patches import Rectangle

            box = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=ORANGE, lw=3, zorder=5)
            box.set_clip_on(False)
            axes.add_patch(box)
    axes.set_xticks(range(len(columns)), [label(v) for v in columns], parse_math=False)
    axes.set_yticks(range(len(rows)), [label(v) for v in rows], parse_math=False)
    axes.set_xlabel(sweep.axes[across].name)
    axes.set_ylabel(sweep.axes[down].name)
    if best is not None:
        figure.colorbar(image, ax=axes, label=f"{sweep.settings.metric}, mean of the seeds")


def _dots(axes: Axes, sweep: Sweep, varied: list[int], ranked: list[Combination]) -> None:
    """A row for each combination, the best on top."""
    shown = ranked[:ROWS]
    figures = [figure for c in shown for figure in c.figures]
    for row, c in enumerate(shown):
        if c.figures:
            axes.plot([min(c.figures), max(c.figures)], [row, row], color=BLUE, alpha=0.25, lw=6)
            axes.plot(c.figures, [row] * len(c.figures), "o", color=BLUE, ms=4.5, mec="white")
            star = row == 0
            axes.plot(
                [c.mean], [row], "*" if star else "|", color=ORANGE if star else BLUE,
                ms=15 if star else 13, mew=0.8 if star else 2, mec="white" if star else BLUE,
            )  # fmt: skip
        if c.failed:
            axes.plot(
                [0.985], [row], "x", color=RED, ms=7, mew=2, transform=axes.get_yaxis_transform()
            )
    _log_if_wide(axes, figures, "x")
    names = [", ".join(f"{sweep.axes[i].name}={label(c.values[i])}" for i in varied) for c in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=8.5, parse_math=False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    more = f"; {len(ranked) - ROWS} more are not shown" if len(ranked) > ROWS else ""
    crosses = "; × failed" if any(c.failed for c in shown) else ""
    axes.set_xlabel(f"{sweep.settings.metric} (dots: trials, mark: mean{crosses}{more})")
    axes.grid(alpha=0.3, axis="x")


def _ordered(axis: Axis) -> list[Any]:
    return sorted(axis.values) if axis.numeric else list(axis.values)


def _columns(points: Curve | list[tuple[Any, float]]) -> tuple[list[Any], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _wide(values: list[float]) -> bool:
    """Whether positive values span more than a decade."""
    values = [value for value in values if not math.isnan(value)]
    return bool(values) and min(values) > 0 and max(values) > 10 * min(values)


def _log_if_wide(axes: Axes, values: list[float], which: str = "y") -> None:
    if _wide(values):
        (axes.set_yscale if which == "y" else axes.set_xscale)("log")
