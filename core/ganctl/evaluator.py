"""What an evaluator is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from .errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL import Image

    from .interfaces import Generator


class Extractor(Protocol):
    """Images to feature vectors; a row depends on its image alone."""

    key: str
    """Says all that features depend on: network, weights, resize, version of the code.
    What was extracted from a set's images is kept on disk, and found again by this."""

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 → (N, D) float32 on the CPU."""
        raise NotImplementedError


class ImageBatch:
    """Images and their features, each computed when it is first asked for, and once.

    `labels` is (N,) int64 or None; `rows`, (N,) int64, are the images' numbers in their set,
    or among those generated.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, rows: Tensor | None = None
    ) -> None:
        """`images` is (N, C, H, W) uint8."""
        self._images = images
        self.labels = labels
        self.rows = torch.arange(len(images)) if rows is None else rows
        self._features: dict[Any, Tensor] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8. Raises `UserError` where pictures are not of one size."""
        return self._images

    def image(self, index: int) -> Tensor:
        """One of them, (C, H, W) uint8, whatever the sizes of the others."""
        return self.images[index]

    def features(self, extractor: Callable[[Tensor], Tensor]) -> Tensor:
        """`extractor(images)`, remembered: several evaluators cost one pass.

        With a `key` (see `Extractor`) a set's features are also kept on disk. Pictures of
        several sizes are handed over size by size.
        """
        if extractor not in self._features:
            self._features[extractor] = self._extract(extractor)
        return self._features[extractor]

    def _extract(self, extractor: Callable[[Tensor], Tensor]) -> Tensor:
        return extractor(self.images)


class ImageSet(Protocol):
    """The pictures that generated ones are held against."""

    labels: np.ndarray[Any, Any] | None
    """(N,) int64."""
    classes: int

    @property
    def fingerprint(self) -> str:
        """Changes when the pictures do."""
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """In the user's cache: for what takes long to make from this set. It may not exist yet."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def gather(self, rows: Tensor) -> Tensor:
        """The images of these rows, (N, C, H, W) uint8.

        Raises `UserError` where they are not of one size.
        """
        raise NotImplementedError


class Evaluator:
    """Accumulates over one pass of images; the order of the batches must not matter."""

    def fit(self, reals: ImageSet) -> None:
        """Told once, before any batch, what generated images will be held against.

        The default does nothing.
        """

    def update(self, batch: ImageBatch, real: bool) -> None:
        """Take in a batch of the dataset (`real`) or of the generator."""
        raise NotImplementedError

    def probe(
        self, generator: Generator, samples: int, label: Callable[[int], Tensor | None]
    ) -> None:
        """Look at the generator itself, in evaluation mode and without gradients.

        `label(n)` draws labels (n, classes) as frequent as in the set, or None. The random
        state is seeded. Called before `compute`, not at all where pictures are evaluated.
        The default does nothing.
        """

    def compute(self) -> dict[str, float]:
        """The figures, by name; the first one is what checkpoints are ranked by."""
        raise NotImplementedError

    def forget_fakes(self) -> None:
        """Drop what was taken in of generated images; the reals stay for the next time."""
        raise NotImplementedError("forget_fakes() is not written")

    def about(self) -> dict[str, str]:
        """What its figures depend on and must be quoted with: extractor, weights, resize."""
        return {}

    def notes(self) -> list[str]:
        """What a reader of the figures last computed should be warned of, a sentence each."""
        return []

    def pictures(self) -> dict[str, Image.Image]:
        """What the figures last computed look like, by a name that is fit for a file."""
        return {}

    def reference(self) -> dict[str, np.ndarray[Any, Any]]:
        """What it knows of the reals, as arrays for an .npz file. Raises `UserError`."""
        raise UserError("its reference cannot be written to a file: name the set itself")

    def adopt(self, reference: dict[str, np.ndarray[Any, Any]]) -> None:
        """Take what `reference` gave for having seen the reals. Raises `UserError`."""
        raise UserError("it needs a set's pictures: statistics alone do not do")
