"""A contact sheet: a set's images at a glance, a row for each class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..images import labelled, to_pil
from .dataset import Dataset

if TYPE_CHECKING:
    from PIL.Image import Image

CELLS = 64
MOST_NAMED = 16
"""With more classes, their names would leave no room for the images."""

_SMALLEST, _LARGEST = 64, 128
"""Sides of a cell: smaller images are enlarged, larger ones reduced."""


def contact_sheet(dataset: Dataset, seed: int | None = None) -> Image:
    """Up to 64 images, of every class equally many; taken evenly, or by lot where there is a seed.

    With at most 16 classes each has a row, its name beside it.
    """
    rows = pick(dataset, seed)
    if dataset.labels is None or len(rows) > MOST_NAMED:
        indices = [index for row in rows for index in row]
        columns = math.ceil(math.sqrt(len(indices)))
        rows = [indices[start : start + columns] for start in range(0, len(indices), columns)]
        names = [""] * len(rows)
    else:
        names = [class_name(dataset, int(dataset.labels[row[0]])) for row in rows]
    return labelled([[_cell(dataset, index) for index in row] for row in rows], names)


def class_name(dataset: Dataset, label: int) -> str:
    """The name that the set gives to a class, else its number."""
    names = dataset.spec.class_names
    return names[label] if label < len(names) else str(label)


def pick(dataset: Dataset, seed: int | None = None) -> list[list[int]]:
    """Indices of up to 64 images: a list for each class that has images, or one for them all."""
    rng = None if seed is None else np.random.default_rng(seed)

    def take(indices: np.ndarray, count: int) -> np.ndarray:
        count = min(count, len(indices))
        if rng is not None:
            return np.sort(rng.choice(indices, count, replace=False))
        return indices[(2 * np.arange(count) + 1) * len(indices) // (2 * count)]

    if dataset.labels is None:
        return [take(np.arange(len(dataset)), CELLS).tolist()]
    present = take(np.unique(dataset.labels), CELLS)
    each = min(CELLS // len(present), 16)  # in one row
    return [take(np.flatnonzero(dataset.labels == label), each).tolist() for label in present]


def _cell(dataset: Dataset, index: int) -> Image:
    """RGB of a size to look at; transparency over a checker pattern."""
    from PIL import Image

    image = to_pil(dataset.read(index).transpose(1, 2, 0))
    side = max(image.size)
    if side < _SMALLEST:
        factor = _SMALLEST // side
        size = image.width * factor, image.height * factor
        image = image.resize(size, Image.Resampling.NEAREST)
    elif side > _LARGEST:
        image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    if image.mode == "RGBA":
        y, x = np.indices((image.height, image.width)) // 8
        checker = np.where((x + y) % 2, 255, 204).astype(np.uint8)
        ground = Image.fromarray(checker).convert("RGBA")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")
