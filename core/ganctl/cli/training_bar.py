"""The training progress bar: a hook like any other."""

from __future__ import annotations

from collections.abc import Callable

from ..hooks import hookimpl
from ..interfaces import Progress


class TrainingBar:
    """Shows images seen, their rate, the time left and the losses."""

    def __init__(self, update: Callable[..., None], images: int = 0) -> None:
        self._update, self._images = update, images

    @hookimpl
    def step(self, progress: Progress) -> None:
        self._images = progress.images
        self._update(progress.images)

    @hookimpl
    def tick(self, progress: Progress, figures: dict[str, float]) -> None:
        losses = [
            f"{name.removeprefix('loss/')} {value:.3f}"
            for name, value in figures.items()
            if name.startswith("loss/")
        ]
        self._update(progress.images, f"{progress.kimg:,.0f} kimg  loss: {', '.join(losses)}")

    @hookimpl
    def evaluating(self, images: int, total: int) -> None:
        self._update(self._images, f"evaluating: {images:,} of {total:,} images")
