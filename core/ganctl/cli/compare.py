"""`ganctl compare`: several runs beside each other, figures and samples."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UserError
from .console import columns, say
from .figures import Curve, Figures, best_of, panels, read_figures, to_png
from .grids import find_grids, open_grid
from .parse import existing, run_command

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure
    from PIL.Image import Image

DRAWN = ("loss", "grad_norm", "diversity", "d", "images_per_second")
"""Name prefixes in log.jsonl that get panels, besides every metric."""

ACROSS = 4
"""Panels, and sample grids, in a row."""
SAMPLES = 16
"""Images of each run's grid that are shown."""


WITHOUT_EFFECT = frozenset(
    {
        *("kimg", "log_every", "sample_every", "checkpoint_every", "checkpoint_minutes", "keep"),
        *("evaluate", "nonfinite_limit", "cache", "device", "micro_batch", "resolution"),
    }
)
"""Options that change how long a run is, what it tells and where it runs, not what is learnt
in it; the resolution is the set's."""


@dataclass(frozen=True)
class Grid:
    """Samples, and the images shown until then."""

    images: int
    picture: Image


@dataclass(frozen=True)
class Compared:
    """A run, with the options that set it apart from the others."""

    folder: Path
    name: str
    differs: dict[str, Any]
    figures: Figures
    better: str

    @property
    def options(self) -> list[str]:
        return [f"{name}={value}" for name, value in self.differs.items()]

    @property
    def label(self) -> str:
        return ", ".join(self.options)

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

    configs = []
    for folder in folders:
        if not (folder / "config.toml").is_file():
            raise UserError(f"{folder}: not a run folder (no config.toml in it)")
        configs.append(_flat(read_toml(folder / "config.toml")))
    _tell_sets_apart(folders, configs)
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = list(map(str, folders))
    runs = []
    for folder, name, differing in zip(folders, names, differences(configs), strict=True):
        best = best_of(folder)
        better = "lower" if best is None else best.better
        runs.append(Compared(folder, name, differing, read_figures(folder), better))
    return runs


def differences(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each config, the options that others have too, but not alike.

    A plugin's options are compared among the runs that use this plugin.
    """
    found: dict[tuple[str, Any], set[str]] = {}
    for config in configs:
        for name, value in config.items():
            found.setdefault((name, _plugin(config, name)), set()).add(json.dumps(value))
    return [
        {
            name.removesuffix(".name"): value  # `arch.name=dcgan` is said shorter
            for name, value in config.items()
            if name not in WITHOUT_EFFECT and len(found[name, _plugin(config, name)]) > 1
        }
        for config in configs
    ]


def _plugin(config: dict[str, Any], name: str) -> Any:
    """Whose option it is; None for the run's own, and for a plugin's name."""
    return None if name.endswith(".name") else config.get(f"{name.partition('.')[0]}.name")


def _tell_sets_apart(folders: list[Path], configs: list[dict[str, Any]]) -> None:
    """Leave of the options that describe a set those that matter: none if all have the same."""
    paths = [Path(config.pop("data", "")) for config in configs]
    contents = [_fingerprint(folder) for folder in folders]
    sets: list[Any] = paths if None in contents else contents
    if len(set(sets)) == 1:
        for config in configs:
            for name in [n for n in config if n.startswith(("source.", "prepare."))]:
                del config[name]
        return
    say("ganctl: warning: these runs were trained on different sets: figures do not compare")
    by_name = len({path.name for path in paths}) == len(set(sets))
    for path, config in zip(paths, configs, strict=True):
        config["data"] = path.name if by_name else str(path)


def _fingerprint(run: Path) -> Any:
    """What the newest checkpoint says of the content of the set."""
    from .. import checkpoint

    with suppress(IndexError, KeyError, UserError):
        newest = checkpoint.list_all(run / "checkpoints")[-1]
        return checkpoint.read_header(newest / checkpoint.TRAINING)["dataset"]
    return None


def draw(runs: list[Compared]) -> bytes:
    """The PNG: a panel for each figure, a colour for each run, and the samples below."""
    from matplotlib.figure import Figure

    drawn, grids = _panels(runs), pick_grids(runs)
    rows, lines = math.ceil(len(drawn) / ACROSS), math.ceil(len(runs) / ACROSS)
    width = 3.4 * min(ACROSS, max(len(drawn), len(runs)))
    across = width / min(ACROSS, len(runs))
    legend = [_lines(f"{each.name}: {each.label}".removesuffix(": "), width - 1) for each in runs]
    titles = [_title(each, grid, across) for each, grid in zip(runs, grids, strict=True)]
    heights = [
        2.4 * rows + 0.16 * sum(text.count("\n") + 1 for text in legend) + 0.1 * len(runs) + 0.3,
        (across + 0.16 * max(text.count("\n") + 1 for text in titles) + 0.2) * lines,
    ]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    _draw_curves(parts[0, 0], runs, drawn, legend)
    _draw_samples(parts[1, 0], grids, titles)
    return to_png(figure)


def _title(each: Compared, grid: Grid | None, inches: float) -> str:
    """What stands above a run's samples: how it differs, as far as there is room, and their age."""
    differs = each.options if len(each.differs) <= 4 else []
    age = "no sample grid" if grid is None else f"{grid.images / 1000:g} kimg"
    return "\n".join(_lines(text, inches) for text in (each.name, *differs, age))


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
    figure: SubFigure,
    runs: list[Compared],
    drawn: Mapping[str, list[Curve | None]],
    legend: list[str],
) -> None:
    from matplotlib.lines import Line2D

    axes = panels(figure, list(drawn), ACROSS)
    for axis, curves in zip(axes, drawn.values(), strict=True):
        for number, curve in enumerate(curves):
            if curve is not None:
                axis.plot(curve.kimg, curve.values, color=_colour(number), linewidth=1.2)
    handles = [Line2D([], [], color=_colour(number), linewidth=2) for number in range(len(runs))]
    figure.legend(handles, legend, loc="outside upper left", fontsize="small")


def _draw_samples(figure: SubFigure, grids: list[Grid | None], titles: list[str]) -> None:
    import numpy as np

    from ..images import cut_grid, sample_grid, to_pil

    lines = math.ceil(len(grids) / ACROSS)
    axes = figure.subplots(lines, min(ACROSS, len(grids)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (axis, grid, title) in enumerate(zip(axes.flat, grids, titles, strict=False)):
        axis.set_title(title, fontsize="small", color=_colour(number))
        if grid is None:
            continue
        table = np.asarray(grid.picture)
        pixels = cut_grid(table if table.ndim == 3 else table[:, :, None])[:SAMPLES]
        axis.imshow(
            to_pil(sample_grid(pixels, math.isqrt(len(pixels) - 1) + 1)),
            cmap="gray", vmin=0, vmax=255, interpolation="none",
        )  # fmt: skip


def pick_grids(runs: list[Compared]) -> list[Grid | None]:
    """Of each run the grid nearest to the newest age that all have reached.

    A picture that cannot be read is told of and does without.
    """
    found = [find_grids(each.folder) for each in runs]
    while True:
        reached = min((max(grids) for grids in found if grids), default=0)
        picked: list[Grid | None] = []
        for grids in found:
            if not grids:
                picked.append(None)
                continue
            images = min(grids, key=lambda images: abs(images - reached))
            try:
                picked.append(Grid(images, open_grid(grids[images])))
            except UserError as error:
                say(f"ganctl: warning: {error}")
                del grids[images]
                break
        else:
            return picked


def _colour(number: int) -> str:
    return f"C{number % 10}"


def _lines(text: str, inches: float) -> str:
    """The text in lines that fit into so many inches in small print."""
    return textwrap.fill(text, max(12, int(inches / 0.066)))


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
