"""One pass of images through every evaluator asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import random
from .hooks import as_figures
from .interfaces import Evaluator, Generator, ImageBatch, to_uint8

if TYPE_CHECKING:
    from .data.loader import Loader
    from .registry import Entry

BATCH = 64
"""Images at a time."""
MOST = 10_000
"""Images that are generated for an evaluation when nobody says how many."""


class Measurement:
    """Evaluators that have seen a set's images once, and see a generator's each time."""

    def __init__(
        self,
        evaluators: Mapping[str, tuple[Entry, Evaluator]],
        loader: Loader,
        classes: int,
        samples: int | None,
        seed: int,
    ) -> None:
        """`samples` generated images are held against the set's; as many as it has, up to MOST."""
        self._evaluators, self._loader, self._classes = evaluators, loader, classes
        self.samples = samples or min(len(loader.dataset), MOST)
        self._seed = seed
        self._saw_reals = False

    def __call__(self, generator: Generator) -> dict[str, float]:
        """The figures of all evaluators, by name, in the order in which they were asked for.

        The same latents every time, with labels as frequent as in the set. Whatever the
        evaluators draw, the next step of a run draws anew.
        """
        if not self._saw_reals:
            self._show_reals()
            self._saw_reals = True
        was_training = generator.training
        generator.eval()
        for start in range(0, self.samples, BATCH):
            batch = self._generated(generator, start, min(BATCH, self.samples - start))
            self._update(batch, real=False)
        generator.train(was_training)
        figures: dict[str, float] = {}
        for entry, evaluator in self._evaluators.values():
            with entry.guard():
                found = as_figures(evaluator.compute())
                if not found:
                    raise ValueError("compute() gave no figure")
                figures |= found
                evaluator.forget_fakes()
        return figures

    def _show_reals(self) -> None:
        for rows in torch.arange(len(self._loader.dataset)).split(BATCH):  # type: ignore[no-untyped-call]
            labels = self._labels(rows)
            self._update(ImageBatch(self._loader.gather(rows), labels), real=True)

    @torch.no_grad()
    def _generated(self, generator: Generator, start: int, count: int) -> ImageBatch:
        random.seed_everything(random.derive(self._seed, "evaluate", start))
        device = self._loader.device
        z = random.randn(count, generator.z_dim, device=device)
        labels = self._labels(torch.randint(len(self._loader.dataset), (count,)))
        c = None if labels is None else torch.eye(self._classes)[labels].to(device)
        return ImageBatch(to_uint8(generator(z, c)), labels)

    def _labels(self, rows: Tensor) -> Tensor | None:
        labels = self._loader.dataset.labels
        if not self._classes or labels is None:
            return None
        return torch.from_numpy(labels)[rows]

    @torch.no_grad()
    def _update(self, batch: ImageBatch, real: bool) -> None:
        for entry, evaluator in self._evaluators.values():
            with entry.guard():
                evaluator.update(batch, real)
