"""One pass of images through every evaluator asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from . import random
from .data.picture_set import PictureSet
from .errors import UserError
from .evaluator import Evaluator, ImageBatch
from .hooks import as_figures
from .interfaces import Generator, to_uint8

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from .registry import Entry
    from .spec import ImageSpec
    from .training.plan import Choice

BATCH = 32
"""Images that are generated at a time."""
MOST = 10_000
"""Images that are generated for an evaluation when nobody says how many."""

Advance = Callable[[int], None]
"""Told how many images have been seen."""


def default_samples(reals: int | None) -> int:
    """As many images as the set has, up to MOST."""
    return min(reals or MOST, MOST)


def open_evaluators(
    choices: Iterable[Choice], spec: ImageSpec
) -> dict[str, tuple[Entry, Evaluator]]:
    """Build them, for images held against a set of this `spec`. Raises `UserError`."""
    evaluators = {}
    for choice in choices:
        with choice.entry.guard():
            evaluator = choice.plugin.build(choice.options, spec)
            evaluators[choice.entry.reference] = choice.entry, evaluator
    return evaluators


class Generated:
    """A generator's images: the same for the same seed, with labels as frequent as in a set."""

    def __init__(
        self,
        generator: Generator,
        samples: int,
        seed: int,
        *,
        classes: int = 0,
        labels: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None,
    ) -> None:
        """`classes` of the generator; `labels` of the set, None: all equally often."""
        self.generator, self.samples, self._seed = generator, samples, seed
        self._classes = classes
        self._labels = torch.arange(classes) if labels is None else torch.from_numpy(labels)

    @torch.no_grad()
    def batches(self) -> Iterator[ImageBatch]:
        device = next(self.generator.parameters()).device
        for start in range(0, self.samples, BATCH):
            count = min(BATCH, self.samples - start)
            self._reseed("images", start)
            z = random.randn(count, self.generator.z_dim, device=device)
            labels = self._draw(count)
            images = to_uint8(self.generator(z, self._one_hot(labels)))
            yield ImageBatch(images, labels, torch.arange(start, start + count))

    @torch.no_grad()
    def probe(self, evaluator: Evaluator) -> None:
        self._reseed("probe", 0)
        evaluator.probe(self.generator, self.samples, lambda n: self._one_hot(self._draw(n)))

    def _reseed(self, purpose: str, number: int) -> None:
        random.seed_everything(random.derive(self._seed, "evaluate", purpose, number))

    def _draw(self, count: int) -> Tensor | None:
        if not self._classes:
            return None
        return self._labels[torch.randint(len(self._labels), (count,))]

    def _one_hot(self, labels: Tensor | None) -> Tensor | None:
        if labels is None:
            return None
        device = next(self.generator.parameters()).device
        return one_hot(labels, self._classes).float().to(device)


class Measurement:
    """Evaluators that see a set's images once, and others each time."""

    def __init__(
        self, evaluators: Mapping[str, tuple[Entry, Evaluator]], reals: PictureSet | None
    ) -> None:
        """`reals` None: the evaluators need none, or have adopted statistics."""
        self.evaluators, self._reals = evaluators, reals
        self.notes: list[str] = []
        """Of the last measurement: what its reader should be warned of."""
        self.pictures: dict[str, Image.Image] = {}
        """Of the last measurement."""

    def see_reals(self, advance: Advance = lambda count: None) -> None:
        """Show the evaluators the set, if they have not seen it yet."""
        if self._reals is None:
            return
        reals, self._reals = self._reals, None
        for entry, evaluator in self.evaluators.values():
            with entry.guard():
                evaluator.fit(reals)
        self._show(reals.batches(), True, advance)

    def __call__(
        self,
        fakes: Generated | Iterable[ImageBatch],
        advance: Advance = lambda count: None,
    ) -> dict[str, float]:
        """The figures of all evaluators, by name, in the order in which they were asked for.

        Whatever the evaluators draw, the next step of a run draws anew.
        """
        self.see_reals()
        if isinstance(fakes, Generated):
            figures = self._measure_generator(fakes, advance)
        else:
            self._show(fakes, False, advance)
            figures = self._compute()
        return figures

    def _measure_generator(self, fakes: Generated, advance: Advance) -> dict[str, float]:
        was_training = fakes.generator.training
        fakes.generator.eval()
        try:
            self._show(fakes.batches(), False, advance)
            for entry, evaluator in self.evaluators.values():
                with entry.guard():
                    fakes.probe(evaluator)
        finally:
            fakes.generator.train(was_training)
        return self._compute()

    def _compute(self) -> dict[str, float]:
        figures: dict[str, float] = {}
        self.notes, self.pictures = [], {}
        for entry, evaluator in self.evaluators.values():
            with entry.guard():
                found = as_figures(evaluator.compute())
                if not found:
                    raise ValueError("compute() gave no figure")
                if twice := figures.keys() & found.keys():
                    raise UserError(f"two evaluators give a figure called {twice.pop()}")
                figures |= found
                self.notes += [note for note in evaluator.notes() if note not in self.notes]
                self.pictures |= evaluator.pictures()
        for entry, evaluator in self.evaluators.values():
            with entry.guard():
                evaluator.forget_fakes()
        return figures

    @torch.no_grad()
    def _show(self, batches: Iterable[ImageBatch], real: bool, advance: Advance) -> None:
        seen = 0
        for batch in batches:
            for entry, evaluator in self.evaluators.values():
                with entry.guard():
                    evaluator.update(batch, real)
            seen += len(batch)
            advance(seen)
