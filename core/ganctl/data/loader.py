"""Shuffled batches of a dataset, each one a function of the seed and the step."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from ..random import derive
from .dataset import Dataset

MEMORY_SHARE = 0.5
"""A set that takes up to this share of the free memory is kept there, as uint8."""


class Loader:
    """Step s takes positions s·B … s·B+B−1 of an endless row of shuffled epochs.

    Nothing about the order has to be saved, and batches run across the ends of epochs, so
    that every image is shown equally often whatever the batch size.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch: int,
        seed: int,
        device: torch.device,
        conditional: bool = False,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.dataset, self.batch, self.seed, self.device = dataset, batch, seed, device
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))
        self._labels = None
        if conditional and dataset.labels is not None:
            eye = torch.eye(dataset.spec.classes, device=device)
            self._labels = eye[torch.from_numpy(dataset.labels).to(device)]
        self._images = self._cache(advance) if _fits_memory(dataset) else None

    def __call__(self, step: int) -> tuple[Tensor, Tensor | None]:
        """(N, C, H, W) uint8 and (N, classes) one-hot float32 or None, on the device."""
        rows = self._rows(step * self.batch, (step + 1) * self.batch)
        images = self.gather(rows).to(self.device, non_blocking=True)
        labels = None if self._labels is None else self._labels[rows.to(self.device)]
        return images, labels

    def gather(self, rows: Tensor) -> Tensor:
        """The images of these rows, (N, C, H, W) uint8 on the CPU."""
        if self._images is not None:
            return self._images[rows]
        return torch.stack([torch.from_numpy(self.dataset.read(int(i))) for i in rows])

    def _rows(self, start: int, stop: int) -> Tensor:
        length = len(self.dataset)
        parts = []
        while start < stop:
            epoch, offset = divmod(start, length)
            part = self._epoch(epoch)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _epoch(self, epoch: int) -> Tensor:
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
            self._order = epoch, torch.randperm(len(self.dataset), generator=generator)
        return self._order[1]

    def _cache(self, advance: Callable[[int], None]) -> Tensor:
        spec, length = self.dataset.spec, len(self.dataset)
        images = torch.empty(length, spec.channels, spec.height, spec.width, dtype=torch.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for index, pixels in enumerate(pool.map(self.dataset.read, range(length))):
                images[index] = torch.from_numpy(pixels)
                advance(index + 1)
        return images


def _fits_memory(dataset: Dataset) -> bool:
    spec = dataset.spec
    wanted = len(dataset) * spec.channels * spec.height * spec.width
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system tells
        free = 4 << 30
    return wanted <= free * MEMORY_SHARE
