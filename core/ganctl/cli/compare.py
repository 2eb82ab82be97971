"""`ganctl compare`: several runs beside each other, figures and samples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UserError
from .console import columns
from .figures import DPI, X_LABEL, Curve, Figures, read_figures
from .grids import find_grids, open_grid
from .parse import existing, run_command

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

DRAWN = ("loss", "grad_norm", "diversity", "d", "images_per_second")
"""Name prefixes in log.jsonl that get panels, besides every metric."""

ACROSS = 4
"""Panels, and sample grids, in a row."""
SAMPLES = 16
"""Images of each run's grid that are shown."""


@dataclass(frozen=True)
class Compared:
    """A run, with the options that set it apart from the others."""

    folder: Path
    differs: dict[str, Any]
    figures: Figures
    better: str

    @property
    def label(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.differs.items())

    def best(self, metric: str) -> tuple[float, float]:
        """(value, kimg) of the best evaluation."""
        curve = self.figures.metrics[metric]
        choose = max if self.better == "higher" else min
        return choose(zip(curve.values, curve.kimg, strict=True), key=lambda point: point[0])


def run(argv: list[str]) -> int:
    return run_command(compare, "compare", argv)


def compare(
    folders: Annotated[list[str], typer.Argument(metavar="RUN…", help="Two run folders or more.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="The PNG to write.")] = "compare.png",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the table as JSON on standard output.")
    ] = False,
) -> int:
    """Draw runs beside each other, curves and samples, and print what they came to."""
    from ..files import write_atomically

    if len(folders) < 2:
        raise UserError("compare: name two runs or more (ganctl plot draws one)")
    if Path(out).suffix.lower() != ".png":
        raise UserError(f"compare: --out {out}: the picture is a .png file")
    runs = read_runs([existing(folder) for folder in folders])
    write_atomically(Path(out), draw(runs))
    if as_json:
        print(json.dumps({"picture": out, "runs": [_document(each) for each in runs]}, indent=2))
    else:
        print(columns(_table(runs)))
        print(f"\npicture: {out}")
    return 0


def read_runs(folders: list[Path]) -> list[Compared]:
    """Raises `UserError` for folders that are no runs, or have logged nothing."""
    from ..files import read_toml
    from ..training.evaluate import read_best

    configs = []
    for folder in folders:
        if not (folder / "config.toml").is_file():
            raise UserError(f"{folder}: not a run folder (no config.toml in it)")
        configs.append(_flat(read_toml(folder / "config.toml")))
    differs = differences(configs)
    labels = [json.dumps(each) for each in differs]
    if len(set(labels)) < len(labels):  # the same run twice, or told apart by nothing
        differs = [
            {"run": str(folder), **each} for folder, each in zip(folders, differs, strict=True)
        ]
    runs = []
    for folder, differing in zip(folders, differs, strict=True):
        best = read_best(folder)
        better = "lower" if best is None else best.better
        runs.append(Compared(folder, differing, read_figures(folder), better))
    return runs


def differences(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each config, the options that all have and not all alike; a set by its file's name.

    How long they are is left out, as the table says it, and so are the options of plugins
    that are not the same.
    """
    names = [n for n in configs[0] if n != "kimg" and all(n in config for config in configs)]
    apart = [n for n in names if len({json.dumps(config[n]) for config in configs}) > 1]
    others = tuple(n.removesuffix("name") for n in apart if n.endswith(".name"))
    apart = [n for n in apart if n.endswith(".name") or not (others and n.startswith(others))]
    found: list[dict[str, Any]] = []
    for config in configs:
        values = {name: config[name] for name in apart}
        if "data" in values:
            values["data"] = Path(values["data"]).name
        # `arch.name=dcgan` is said shorter.
        found.append({name.removesuffix(".name"): value for name, value in values.items()})
    return found


def draw(runs: list[Compared]) -> bytes:
    """The PNG: a panel for each figure, a colour for each run, and the samples below."""
    from matplotlib.figure import Figure

    from ..images import draw_png

    panels = _panels(runs)
    rows, lines = math.ceil(len(panels) / ACROSS), math.ceil(len(runs) / ACROSS)
    width = 3.4 * min(ACROSS, max(len(panels), len(runs)))
    heights = [2.4 * rows + 0.24 * len(runs) + 0.3, (width / min(ACROSS, len(runs)) + 0.4) * lines]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    _draw_curves(parts[0, 0], runs, panels, rows)
    _draw_samples(parts[1, 0], runs, lines)
    return draw_png(figure, DPI)


def _panels(runs: list[Compared]) -> dict[str, list[Curve | None]]:
    """Figure → its curve in each run, for figures that at least two runs have."""
    found: dict[str, list[Curve | None]] = {}
    metrics = dict.fromkeys(name for each in runs for name in each.figures.metrics)
    logged = dict.fromkeys(
        name for prefix in DRAWN for each in runs for name in each.figures.drawn(prefix)
    )
    for name in metrics:
        found[name] = [each.figures.metrics.get(name) for each in runs]
    for name in logged:
        found[name] = [each.figures.log.get(name) for each in runs]
    return {n: curves for n, curves in found.items() if sum(c is not None for c in curves) > 1}


def _draw_curves(
    figure: SubFigure, runs: list[Compared], panels: Mapping[str, list[Curve | None]], rows: int
) -> None:
    across = min(ACROSS, len(panels))
    axes = figure.subplots(rows, across, squeeze=False, sharex=True)
    for axis, (name, curves) in zip(axes.flat, panels.items(), strict=False):
        for number, curve in enumerate(curves):
            if curve is not None:
                axis.plot(curve.kimg, curve.values, color=f"C{number % 10}", linewidth=1.2)
        axis.set_title(name, fontsize="medium")
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel(X_LABEL, fontsize="small")
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=f"C{number % 10}", linewidth=2) for number in range(len(runs))]
    figure.legend(
        handles, [each.label for each in runs], loc="outside upper left", fontsize="small"
    )


def _draw_samples(figure: SubFigure, runs: list[Compared], lines: int) -> None:
    """Each run's samples after the same number of images, or its newest ones."""
    import numpy as np

    from ..images import cut_grid, sample_grid, to_pil

    grids = [find_grids(each.folder) for each in runs]
    common = set.intersection(*(set(found) for found in grids))
    axes = figure.subplots(lines, min(ACROSS, len(runs)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (axis, each, found) in enumerate(zip(axes.flat, runs, grids, strict=False)):
        if not found:
            continue
        images = max(common) if common else max(found)
        table = np.asarray(open_grid(found[images]))
        pixels = cut_grid(table if table.ndim == 3 else table[:, :, None])[:SAMPLES]
        axis.imshow(
            to_pil(sample_grid(pixels, math.isqrt(len(pixels) - 1) + 1)),
            cmap="gray", vmin=0, vmax=255, interpolation="none",
        )  # fmt: skip
        title = "\n".join([*each.label.split(", "), f"{images / 1000:g} kimg"])
        colour = f"C{number % 10}"
        axis.set_title(title, fontsize="small", color=colour)


def _table(runs: list[Compared]) -> list[list[str]]:
    metrics = dict.fromkeys(name for each in runs for name in each.figures.metrics)
    losses = dict.fromkeys(name for each in runs for name in each.figures.drawn("loss"))
    lines = [["run", "kimg", "img/s", *losses, *(f"best {name}" for name in metrics), "differs in"]]
    for each in runs:
        log = each.figures.log
        cells = [str(each.folder), f"{_last_kimg(each):g}", f"{_rate(each):,.0f}"]
        cells += [f"{log[name].values[-1]:.4g}" if name in log else "-" for name in losses]
        for name in metrics:
            known = name in each.figures.metrics
            cells.append("{:.4g} at {:g}".format(*each.best(name)) if known else "-")
        lines.append([*cells, each.label])
    return lines


def _document(each: Compared) -> dict[str, Any]:
    best = {name: each.best(name) for name in each.figures.metrics}
    return {
        "run": str(each.folder),
        "differs": each.differs,
        "kimg": _last_kimg(each),
        "images_per_second": _rate(each),
        "last": {name: curve.values[-1] for name, curve in each.figures.log.items()},
        "best": {name: {"value": value, "kimg": kimg} for name, (value, kimg) in best.items()},
    }


def _last_kimg(each: Compared) -> float:
    return max(curve.kimg[-1] for curve in each.figures.log.values())


def _rate(each: Compared) -> float:
    """Images per second over the whole run."""
    seconds = each.figures.log.get("seconds")
    return 1000 * seconds.kimg[-1] / seconds.values[-1] if seconds and seconds.values[-1] else 0.0


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat
