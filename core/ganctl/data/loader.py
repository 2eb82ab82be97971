"""Shuffled batches of a dataset, each one a function of the seed and the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..random import derive
from .cache import Place, choose, open_images
from .dataset import Dataset
from .pixels import Pixels

AHEAD = 2
"""Batches that are read in the background, where reading takes time."""


class Loader:
    """Step s takes positions s·B … s·B+B−1 of an endless row of shuffled epochs.

    Nothing about the order has to be saved, and batches run across the ends of epochs, so
    that every image is shown equally often whatever the batch size. With `mirror` an epoch
    has two rows for each of the N images: row N + i is image i, flipped left to right.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch: int,
        seed: int,
        device: torch.device,
        conditional: bool = False,
        advance: Callable[[int], None] = lambda count: None,
        *,
        cache: Literal["auto"] | Place = "auto",
        mirror: bool = False,
    ) -> None:
        """`advance` is told how many pictures are read. Raises `UserError` if they cannot be, or
        are not of one size, and `GanctlError` if the cache has no room for them."""
        self.dataset, self.batch, self.seed, self.device = dataset, batch, seed, device
        self.mirror = mirror
        self.cache: Place = choose(dataset, device) if cache == "auto" else cache
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))
        self._labels = None
        if conditional and dataset.labels is not None:
            eye = torch.eye(dataset.spec.classes, device=device)
            self._labels = eye[torch.from_numpy(dataset.labels).to(device)]
        self._images = open_images(dataset, self.cache, device, advance)
        self._ahead: dict[int, tuple[Tensor, Future[Tensor]]] = {}
        self._pool = ThreadPoolExecutor(AHEAD) if self._images.slow else None

    def __call__(self, step: int) -> tuple[Tensor, Tensor | None]:
        """(N, C, H, W) uint8 and (N, classes) one-hot float32 or None, on the device."""
        rows, images = self._take(step)
        images = self._flip(self._sent(images), rows)
        labels = None
        if self._labels is not None:
            labels = self._labels[self._sent(self._indices(rows))]
        return images, labels

    def gather(self, rows: Tensor) -> Tensor:
        """The images of these rows, (N, C, H, W) uint8 on the CPU."""
        return self._flip(self._images.gather(self._indices(rows)).cpu(), rows)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """(mean, deviation) of each channel over the whole set, (C,) each, in [-1, 1] units."""
        count, channels, height, width = self.dataset.shape
        total = torch.zeros(2, channels, dtype=torch.int64)
        for start in range(0, count, 1024):
            pixels = self.gather(torch.arange(start, min(start + 1024, count))).to(torch.int32)
            total[0] += pixels.sum(dim=(0, 2, 3))
            total[1] += pixels.square().sum(dim=(0, 2, 3))
        mean, square = total.double() / (count * height * width)
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        return (mean / 127.5 - 1).float(), (deviation / 127.5).float()

    def _take(self, step: int) -> tuple[Tensor, Tensor]:
        """The rows of a step and their images, not flipped yet."""
        if self._pool is None:
            rows = self._rows(step)
            return rows, self._images.gather(self._indices(rows))
        wanted = range(step, step + AHEAD + 1)
        for other in self._ahead.keys() - wanted:
            self._ahead.pop(other)[1].cancel()
        for other in wanted:
            if other not in self._ahead:
                rows = self._rows(other)
                future = self._pool.submit(self._images.gather, self._indices(rows))
                self._ahead[other] = rows, future
        rows, future = self._ahead.pop(step)
        return rows, future.result()

    def _indices(self, rows: Tensor) -> Tensor:
        return rows % len(self.dataset) if self.mirror else rows

    def _flip(self, images: Tensor, rows: Tensor) -> Tensor:
        if not self.mirror:
            return images
        flipped = rows >= len(self.dataset)
        if images.device.type == "cpu":
            pixels, chosen = images.numpy(), flipped.numpy()
            pixels[chosen] = mirrored(pixels[chosen])
            return images
        return torch.where(self._sent(flipped).view(-1, 1, 1, 1), images.flip(3), images)

    def _sent(self, tensor: Tensor) -> Tensor:
        """On the device; CUDA copies what it needs at once, and nobody waits."""
        return tensor.to(self.device, non_blocking=self.device.type == "cuda")

    def _rows(self, step: int) -> Tensor:
        start, stop = step * self.batch, (step + 1) * self.batch
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self._length)
            part = self._epoch(epoch)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @property
    def _length(self) -> int:
        """Rows of an epoch."""
        return len(self.dataset) * (2 if self.mirror else 1)

    def _epoch(self, epoch: int) -> Tensor:
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
            self._order = epoch, torch.randperm(self._length, generator=generator)
        return self._order[1]


def mirrored(pixels: Pixels) -> Pixels:
    """(N, C, H, W) uint8 flipped left to right: up to eight pixels at a time, as bytes of a word.

    One at a time, in NumPy or torch, takes three times as long.
    """
    words = pixels.view(f"u{math.gcd(pixels.shape[3], 8)}")
    return words[..., ::-1].copy().byteswap(inplace=True).view(np.uint8)
