"""Where a set's images are while a run trains on them; uint8 everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import GanctlError
from .dataset import Dataset
from .disk_cache import has_room, map_images
from .memory import free_memory
from .parallel import cores, in_threads
from .pixels import Pixels

Place = Literal["none", "memory", "disk", "device"]

SHARE = 0.5
"""A set that takes up to this share of the free memory (or of the GPU's) is kept there."""


class Images(Protocol):
    """All images of a set."""

    slow: bool
    """Whether a batch is worth asking for before it is needed."""

    def gather(self, indices: Tensor) -> Tensor:
        """Those images, (N, C, H, W) uint8 in a tensor of their own. `indices`: int64, CPU."""


class InMemory:
    """Decoded, in an array: of this process, or a file mapped into its memory."""

    def __init__(self, images: Pixels, slow: bool = False) -> None:
        self.images, self.slow = images, slow

    def gather(self, indices: Tensor) -> Tensor:
        # A tenth of the time of indexing a tensor: rows are copied whole.
        return torch.from_numpy(self.images.take(indices.numpy(), axis=0))


class OnDevice:
    """Decoded, in the GPU's memory."""

    slow = False

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def gather(self, indices: Tensor) -> Tensor:
        where = self.images.device
        chosen = indices.to(where, non_blocking=where.type == "cuda")  # which copies them at once
        return self.images.index_select(0, chosen)


class Decoded:
    """Not kept: decoded each time, in threads."""

    slow = True

    def __init__(self, dataset: Dataset, advance: Callable[[int], None]) -> None:
        self.dataset, self._pool = dataset, ThreadPoolExecutor(cores())
        for index, _ in enumerate(in_threads(dataset.check, range(len(dataset)))):
            advance(index + 1)

    def gather(self, indices: Tensor) -> Tensor:
        pictures = self._pool.map(self.dataset.read, indices.tolist())
        return torch.stack([torch.from_numpy(pixels) for pixels in pictures])


def open_images(
    dataset: Dataset, place: Place, device: torch.device, advance: Callable[[int], None]
) -> Images:
    """Read the whole set, or look at all of its pictures' sizes: `UserError` if they differ."""
    if place == "none":
        return Decoded(dataset, advance)
    if place == "disk":
        mapped = map_images(dataset, advance)
        return InMemory(mapped, slow=mapped.nbytes > free_memory())
    if place == "memory":
        device = torch.device("cpu")
    try:
        if device.type == "cpu":  # NumPy asks for huge pages: rows far apart are found faster
            images = torch.from_numpy(np.empty(dataset.shape, np.uint8))
        else:
            images = torch.empty(dataset.shape, dtype=torch.uint8, device=device)
    except (RuntimeError, MemoryError):  # their own messages are no lines for a user
        raise GanctlError(
            f"no room for {math.prod(dataset.shape) / 1e6:,.0f} MB of images on {device}: "
            "use --cache disk or --cache none"
        ) from None
    for index, pixels in enumerate(in_threads(dataset.read, range(len(dataset)))):
        images[index] = torch.from_numpy(pixels)
        advance(index + 1)
    return InMemory(images.numpy()) if device.type == "cpu" else OnDevice(images)


def choose(dataset: Dataset, device: torch.device) -> Place:
    """The fastest place that has room for the set."""
    size = math.prod(dataset.shape)
    if device.type == "cuda" and size <= SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    if size <= SHARE * free_memory():
        return "memory"
    return "disk" if has_room(dataset) else "none"
