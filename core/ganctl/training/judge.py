"""How good the generator is while it trains, and which checkpoint was the best."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from .. import checkpoint
from ..data.dataset import Dataset
from ..data.picture_set import PictureSet
from ..evaluation import Generated, Measurement, default_samples, open_evaluators
from ..files import write_atomically
from ..images import save_png
from ..interfaces import Progress
from .best import Best, Better, beats, find_best
from .evaluate import Request
from .plan import Plan
from .run import METRICS, Run, read_log

if TYPE_CHECKING:
    from .session import Session


class Judge:
    """The evaluators of a run, what they hold images against, and the best checkpoint so far."""

    def __init__(
        self, plan: Plan, request: Request, dataset: Dataset, device: torch.device
    ) -> None:
        """Builds the evaluators. Raises `UserError`."""
        self.every = request.every or plan.settings.checkpoint_every
        """Thousands of images between two judgements."""
        self.best: Best | None = None
        self._plan, self._dataset = plan, dataset
        self._samples = request.samples or default_samples(len(dataset))
        self._measurement = Measurement(
            open_evaluators(plan.evaluators, plan.spec),
            PictureSet(dataset, device, keep_features=True),
        )

    def see_reals(self, advance: Callable[[int], None]) -> None:
        """The evaluators see what they hold generated images against."""
        self._measurement.see_reals(advance)

    def begin(self, run: Run) -> None:
        """Write what the figures must be quoted with; find the best of a run that goes on."""
        about = {name: e.about() for name, (_, e) in self._measurement.evaluators.items()}
        facts = {
            "reals": len(self._dataset),
            "samples": self._samples,
            "seed": self._plan.settings.seed,
        }
        text = json.dumps({**facts, "evaluators": about}, indent=2) + "\n"
        write_atomically(run.folder / "evaluators.json", text.encode())
        self.best = find_best(run.folder, read_log(run.folder, METRICS), self._better)
        if self.best is not None:
            self.best.write(run.folder)

    def measure(self, session: Session, progress: Progress) -> bool:
        """Measure the generator, and log it; whether it is the best so far."""
        plan, run = self._plan, session.run
        generator = session.state.best_generator
        generator.at(progress)
        fakes = Generated(
            generator,
            self._samples,
            plan.settings.seed,
            classes=plan.spec.classes,
            labels=self._dataset.labels,
        )

        def advance(done: int) -> None:
            session.hooks.call("evaluating", session=session, images=done, total=fakes.samples)

        figures = self._measurement(fakes, advance)
        name = checkpoint.name_of(progress.images)
        for note in self._measurement.notes:
            session.warn(f"evaluate: {note}", note)
        for title, picture in self._measurement.pictures.items():
            save_png(picture, run.folder / "evaluations" / f"{name}-{title}.png")
        metric, value = next(iter(figures.items()))
        record = {"images": progress.images, "step": progress.step}
        finite = {k: v if math.isfinite(v) else None for k, v in figures.items()}
        run.log(record | finite, METRICS)
        session.hooks.call("evaluate", session=session, progress=progress, figures=figures)
        if not beats(value, self.best, self._better):
            return False
        self.best = Best(metric, value, self._better, progress.images, name)
        return True

    @property
    def _better(self) -> Better:
        way: Better = self._plan.evaluators[0].plugin.better
        return way
