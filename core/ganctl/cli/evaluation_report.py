"""What an evaluation came to: as a text, as JSON, as a picture."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_atomically
from .console import columns
from .figures import X_LABEL, to_png

if TYPE_CHECKING:
    from PIL import Image

    from ..evaluation import Measurement


@dataclass
class Row:
    """A checkpoint, or pictures: each figure once per seed."""

    label: str
    kimg: float | None
    figures: dict[str, list[float]] = field(default_factory=dict)

    def means(self) -> dict[str, float]:
        return {name: _mean(values) for name, values in self.figures.items()}

    def deviations(self) -> dict[str, float]:
        """With N − 1; none of a single seed."""
        return {n: _deviation(v) for n, v in self.figures.items() if len(v) > 1}


@dataclass
class Report:
    subject: str
    data: str | None
    reals: int
    samples: int
    seeds: list[int]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: dict[str, dict[str, str]] = field(default_factory=dict)
    better: str = "lower"
    files: list[str] = field(default_factory=list)
    _pictures: dict[str, Image.Image] = field(default_factory=dict)

    def add(
        self,
        label: str,
        kimg: float | None,
        seed: int,
        figures: dict[str, float],
        measurement: Measurement,
    ) -> None:
        if not self.rows or self.rows[-1].label != label:
            self.rows.append(Row(label, kimg))
        for name, value in figures.items():
            self.rows[-1].figures.setdefault(name, []).append(value)
        entry, _ = next(iter(measurement.evaluators.values()))
        self.better = entry.load().better  # type: ignore[attr-defined]
        self.notes += [note for note in measurement.notes if note not in self.notes]
        self.about = {name: e.about() for name, (_, e) in measurement.evaluators.items()}
        if seed == self.seeds[0]:
            prefix = f"{label}-" if kimg is not None and label != self.subject else ""
            self._pictures |= {
                f"{prefix}{name}": picture for name, picture in measurement.pictures.items()
            }

    @property
    def best(self) -> Row | None:
        """The best checkpoint by the first figure; None if there is but one, or no number."""
        means = [(row.means().get(self._metric, math.nan), row) for row in self.rows]
        known = [pair for pair in means if math.isfinite(pair[0])]
        if len(self.rows) < 2 or not known:
            return None
        choose = max if self.better == "higher" else min
        return choose(known, key=lambda pair: pair[0])[1]

    @property
    def _metric(self) -> str:
        return next(iter(self.rows[0].figures))

    def document(self) -> dict[str, Any]:
        head = {
            "subject": self.subject,
            "data": self.data,
            "reals": self.reals or None,
            "samples": self.samples,
            "seeds": self.seeds,
        }
        tail = {"about": self.about, "warnings": self.notes, "pictures": self.files}
        if len(self.rows) == 1:
            return {**head, **_document(self.rows[0]), **tail}
        rows = [{"checkpoint": r.label, "kimg": r.kimg, **_document(r)} for r in self.rows]
        best = None if self.best is None else self.best.label
        return {**head, "checkpoints": rows, "best": best, **tail}

    def text(self) -> str:
        names = list(self.rows[0].figures)
        if len(self.rows) == 1:
            lines: list[tuple[str, ...]] = [(name, _value(self.rows[0], name)) for name in names]
        else:
            lines = [("checkpoint", *names)]
            lines += [(r.label, *(_value(r, name) for name in names)) for r in self.rows]
        parts = [columns(lines), ""]
        if self.best is not None:
            parts.append(f"best by {self._metric}: {self.best.label}")
        seeds = ",".join(map(str, self.seeds))
        against = ""
        if self.data is not None:
            against = f" against {f'{self.reals:,} of ' if self.reals else ''}{self.data}"
        parts.append(f"{self.samples:,} images{against}; seeds {seeds}")
        for facts, evaluators in _by_facts(self.about).items():
            parts.append(f"{', '.join(evaluators)}: {facts}")
        parts += [f"picture: {file}" for file in self.files]
        return "\n".join(parts)

    def save(self, folder: Path) -> None:
        """The evaluators' pictures, and a plot where there is more than a number to show."""
        from ..images import save_png

        for name, picture in self._pictures.items():
            file = folder / f"{name}.png"
            save_png(picture, file)
            self.files.append(str(file))
        if len(self.rows) > 1 or len(self.seeds) > 1:
            file = folder / "evaluation.png"
            write_atomically(file, self._draw())
            self.files.append(str(file))

    def _draw(self) -> bytes:
        """A panel per figure: over the images shown with the spread of the seeds, or by seed."""
        from matplotlib.figure import Figure

        names = [name for name in self.rows[0].figures if "-deviation" not in name]
        across = min(3, len(names))
        down = math.ceil(len(names) / across)
        figure = Figure(figsize=(4 * across, 2.8 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for axis in axes[len(names) :]:
            axis.set_visible(False)
        for name, axis in zip(names, axes, strict=False):
            if len(self.rows) > 1:
                kimg = [row.kimg for row in self.rows]
                means = [row.means()[name] for row in self.rows]
                spread = [row.deviations().get(name, 0.0) for row in self.rows]
                axis.errorbar(kimg, means, yerr=spread, marker="o", markersize=3, capsize=2)
                axis.set_xlabel(X_LABEL)
            else:
                values = self.rows[0].figures[name]
                axis.plot(values, "o")
                axis.axhline(self.rows[0].means()[name], color="gray", linewidth=1)
                axis.set_xticks(range(len(values)), [str(seed) for seed in self.seeds])
                axis.set_xlabel("seed")
            axis.set_title(name, fontsize="medium", parse_math=False)
            axis.grid(alpha=0.3)
        figure.suptitle(f"{self.subject}, {self.samples:,} images", parse_math=False)
        return to_png(figure)


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if all(map(math.isfinite, values)) else math.nan


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def _document(row: Row) -> dict[str, Any]:
    document: dict[str, Any] = {"figures": _finite(row.means())}
    if deviations := row.deviations():
        document["deviations"] = _finite(deviations)
    return document


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _value(row: Row, name: str) -> str:
    mean = f"{row.means()[name]:.5g}"
    deviation = row.deviations().get(name)
    return mean if deviation is None else f"{mean} ± {deviation:.2g}"


def _by_facts(about: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """What figures must be quoted with, as a text, and the evaluators of which it is true."""
    found: dict[str, list[str]] = {}
    for name, facts in about.items():
        if facts:
            text = ", ".join(f"{key} {value}" for key, value in facts.items())
            found.setdefault(text, []).append(name)
    return found
