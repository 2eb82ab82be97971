"""A set's pictures as evaluators look at them: of any sizes, with their features kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..evaluator import ImageBatch
from .dataset import Dataset
from .feature_cache import FeatureCache, folder_for_set
from .parallel import in_threads

BATCH = 16
"""Pictures at a time."""
PIXELS = 1 << 22
"""At most so many, or one picture, go through an extractor at a time: photographs are large."""


class PictureSet:
    """A prepared set, or a folder or zip of any pictures, decoded when it is looked at."""

    def __init__(
        self,
        dataset: Dataset,
        device: torch.device,
        *,
        any_size: bool = False,
        keep_features: bool = False,
    ) -> None:
        """With `any_size` every picture is RGB of its own size; else all must be as the first.

        `keep_features`: on disk, for the next time.
        """
        self.dataset, self.device = dataset, device
        self._any_size, self._keep_features = any_size, keep_features
        self.labels, self.classes = dataset.labels, dataset.spec.classes
        self.spec = replace(dataset.spec, channels=3) if any_size else dataset.spec

    @cached_property
    def fingerprint(self) -> str:
        """Of the content: a folder is read for it, so it waits until somebody asks."""
        return self.dataset.content() + ("/any" if self._any_size else "")

    @cached_property
    def folder(self) -> Path:
        """In the user's cache."""
        return folder_for_set(self.fingerprint)

    @cached_property
    def cache(self) -> FeatureCache | None:
        """Where features are kept, if they are."""
        if not self._keep_features:
            return None
        return FeatureCache(self.folder, str(self.dataset.path.resolve()), len(self))

    def __len__(self) -> int:
        return len(self.dataset)

    def gather(self, rows: Tensor) -> Tensor:
        """The images of these rows, (N, C, H, W) uint8. Raises `UserError`."""
        return self.stack(self.read(rows))

    def read(self, rows: Tensor) -> list[Tensor]:
        """The pictures of these rows, (C, H, W) uint8 each. Raises `UserError` naming a bad one."""
        read = self.dataset.read_any if self._any_size else self.dataset.read
        return [torch.from_numpy(pixels) for pixels in in_threads(read, rows.tolist())]

    def stack(self, pictures: list[Tensor]) -> Tensor:
        """(N, C, H, W) on the device. Raises `UserError` if they are not of one size."""
        shapes = sorted({tuple(picture.shape) for picture in pictures})
        if len(shapes) > 1:
            sizes = " and ".join(f"{height}x{width}" for _, height, width in shapes[:2])
            raise UserError(
                f"{self.dataset.path}: holds pictures of {sizes}; make them equal: "
                f"ganctl prepare {self.dataset.path} --out SET.zip"
            )
        return torch.stack(pictures).to(self.device)

    def batches(self, rows: Tensor | None = None) -> Iterator[ImageBatch]:
        """Of these rows, or of all."""
        rows = torch.arange(len(self)) if rows is None else rows
        for part in rows.split(BATCH):  # type: ignore[no-untyped-call]
            labels = None if self.labels is None else torch.from_numpy(self.labels)[part]
            yield SetBatch(self, part, labels)


class SetBatch(ImageBatch):
    """Pictures that are read if an evaluator needs more than features that are known."""

    def __init__(self, pictures: PictureSet, rows: Tensor, labels: Tensor | None) -> None:
        super().__init__(torch.empty(0), labels, rows)
        self._set = pictures

    @cached_property
    def images(self) -> Tensor:
        return self._set.stack(self._pictures)

    def image(self, index: int) -> Tensor:
        return self._pictures[index]

    @cached_property
    def _pictures(self) -> list[Tensor]:
        return self._set.read(self.rows)

    def _extract(self, extractor: Callable[[Tensor], Tensor]) -> Tensor:
        key = getattr(extractor, "key", None)
        cache = None if key is None else self._set.cache
        if key is None or cache is None:
            return self._compute(extractor)
        found = cache.find(key, self.rows)
        if found is None:
            found = self._compute(extractor)
            cache.keep(key, self.rows, found)
        return found

    def _compute(self, extractor: Callable[[Tensor], Tensor]) -> Tensor:
        """Size by size: the features do not depend on what else is in the batch."""
        pictures = self._pictures
        sizes: dict[torch.Size, list[int]] = {}
        for index, picture in enumerate(pictures):
            sizes.setdefault(picture.shape, []).append(index)
        parts = []
        for (_, height, width), where in sizes.items():
            step = max(1, PIXELS // (height * width))
            for start in range(0, len(where), step):
                some = [pictures[index] for index in where[start : start + step]]
                parts.append(extractor(self._set.stack(some)))
        order = np.argsort([index for where in sizes.values() for index in where])
        return torch.cat(parts)[torch.from_numpy(order)]
