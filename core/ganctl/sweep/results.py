"""What has become of a sweep's trials, read from their run folders."""

from __future__ import annotations

import csv
import io
import math
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from ..checkpoint import list_all
from ..errors import UserError
from ..training.best import read_best
from ..training.run import METRICS, read_log
from .trials import Sweep, Trial, label

State = Literal["done", "stopped early", "failed", "unfinished", "not started"]
ENDED: tuple[State, ...] = ("done", "stopped early")
Curve = tuple[tuple[int, float], ...]
"""(images shown, figure), the first first; a figure that is not finite is NaN."""


@dataclass(frozen=True)
class Result:
    """One trial: how far it came, and its figure on the way."""

    trial: Trial
    state: State
    images: int
    curve: Curve
    best: tuple[int, float] | None
    """The best point of the curve."""
    evaluated: bool
    """Whether the figure is an evaluator's; else it is one of the log, such as a loss."""
    names: frozenset[str]
    """Every figure that the run's files hold."""
    seconds: float
    why: str = ""
    """What a failed trial said."""

    @property
    def figure(self) -> tuple[int, float] | None:
        """What ranks a trial that has ended: an evaluator's figure at its best, as that
        checkpoint is the one to take; a figure of the log, which is noisy, at the end."""
        if self.state not in ENDED or not self.curve:
            return None
        last = self.curve[-1]
        return self.best if self.evaluated else None if math.isnan(last[1]) else last


@dataclass(frozen=True)
class Combination:
    """The trials that differ by their seed alone."""

    values: tuple[Any, ...]
    results: tuple[Result, ...]

    @property
    def figures(self) -> list[float]:
        """What each trial that has ended comes to."""
        return [r.figure[1] for r in self.results if r.figure]

    @property
    def kimg(self) -> list[float]:
        """Where those figures were reached."""
        return [r.figure[0] / 1000 for r in self.results if r.figure]

    @property
    def states(self) -> Counter[State]:
        return Counter(result.state for result in self.results)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.figures) if self.figures else math.nan

    @property
    def failed(self) -> int:
        return self.states["failed"]

    @property
    def ended(self) -> int:
        return sum(self.states[state] for state in ENDED)


def lower_is_better(sweep: Sweep, *, warn: bool = False) -> bool:
    """As sweep.toml says it, else as the runs do, else yes. `warn`: tell of damaged files."""
    if sweep.settings.better:
        return sweep.settings.better == "lower"
    for trial in sweep.trials:
        try:
            best = read_best(trial.folder)
        except UserError as error:
            if warn:
                print(f"ganctl: warning: {error}", file=sys.stderr)
            continue
        if best is not None and best.metric == sweep.settings.metric:
            return best.better == "lower"
    return True


def result_of(
    sweep: Sweep, trial: Trial, lower: bool, why: str = "", *, warn: bool = False
) -> Result:
    """Read a trial's run folder. `why`: what it said when it failed just now.

    `warn`: tell of damaged lines; one that is being written while it is read looks the same.
    """
    log = read_log(trial.folder, warn=warn)
    metrics = read_log(trial.folder, METRICS, warn=warn)
    names = {name for record in (*metrics, *log) for name in record} - {"images", "step"}
    points: dict[int, float] = {}
    metric = sweep.settings.metric
    evaluated = any(metric in record for record in metrics)
    for record in metrics if evaluated else log:
        if metric in record:  # a resumed run may hold a line twice
            value = record[metric]
            known = isinstance(value, int | float) and math.isfinite(value)
            points[record["images"]] = float(value) if known else math.nan
    saved = list_all(trial.folder / "checkpoints")
    done = bool(saved) and round(float(saved[-1].name) * 1000) >= trial.total
    images = log[-1]["images"] if log else 0
    curve, best, stale = _until_stale(tuple(sorted(points.items())), lower, sweep.settings.patience)
    if stale and curve[-1][0] < trial.total:
        state: State = "stopped early"
        images = curve[-1][0]
    elif done:
        state = "done"
    elif why:
        state = "failed"
    else:
        state = "unfinished" if trial.folder.exists() else "not started"
    seconds = log[-1].get("seconds", 0.0) if log else 0.0
    return Result(trial, state, images, curve, best, evaluated, frozenset(names), seconds, why)


def _until_stale(
    curve: Curve, lower: bool, patience: int | None
) -> tuple[Curve, tuple[int, float] | None, bool]:
    """The curve up to where patience ends, its best point, and whether patience ended.

    What a trial did after that, until it was told, does not count: so results do not depend on
    how soon that was.
    """
    best, waited = None, 0
    for index, (images, value) in enumerate(curve):
        if not math.isnan(value) and (
            best is None or (value < best[1] if lower else value > best[1])
        ):
            best, waited = (images, value), 0
        else:
            waited += 1
        if waited == patience:
            return curve[: index + 1], best, True
    return curve, best, False


def combinations(results: Iterable[Result], lower: bool) -> list[Combination]:
    """The best first; those of which a seed failed after those of which none did."""
    grouped = [
        Combination(values, tuple(group))
        for values, group in groupby(results, key=lambda result: result.trial.values)
    ]

    def rank(combination: Combination) -> tuple[bool, bool, float]:
        mean = combination.mean
        return math.isnan(mean), combination.failed > 0, mean if lower else -mean

    return sorted(grouped, key=rank)


def as_csv(sweep: Sweep, results: Iterable[Result]) -> bytes:
    """results.csv: a row for every trial."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    names = [axis.name for axis in sweep.axes]
    figures = ["figure", "final", "best", "best_kimg", "kimg", "seconds"]
    rows.writerow([*names, "seed", "state", "metric", *figures, "run", "why"])
    for result in results:
        trial, best, figure = result.trial, result.best, result.figure
        rows.writerow(
            [
                *map(label, trial.values),
                trial.seed,
                result.state,
                sweep.settings.metric,
                figure[1] if figure else "",
                result.curve[-1][1] if result.curve else "",
                best[1] if best else "",
                best[0] / 1000 if best else "",
                result.images / 1000,
                round(result.seconds, 1),
                f"trials/{trial.name}",
                result.why,
            ]
        )
    return text.getvalue().encode("utf-8", "backslashreplace")
