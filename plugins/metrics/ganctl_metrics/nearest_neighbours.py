"""Generated images beside the training images that are most like them: has it learned by heart?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganctl import ImageBatch, ImageSet

from . import NearestOptions
from .neighbours import NeighbourEvaluator
from .rows import squared_distances, tiles

if TYPE_CHECKING:
    from PIL import Image

CELL = 128
"""Pixels of a picture's longer side in the sheet."""
MARGIN, HEADING = 8, 16


class NearestNeighbours(NeighbourEvaluator):
    """authenticity, and a sheet of samples with their nearest training images.

    Authenticity (Alaa et al. 2022, section 4.3): the share of generated images that lie
    farther from their nearest training image than that one does from its own nearest other.
    """

    name = "nearest-neighbours"

    def __init__(self, options: NearestOptions) -> None:
        super().__init__(options, k=1)
        self._options = options
        self._set: ImageSet | None = None
        self._samples: dict[int, Tensor] = {}
        self._sheet: Image.Image | None = None

    def fit(self, reals: ImageSet) -> None:
        super().fit(reals)
        self._set = reals

    def update(self, batch: ImageBatch, real: bool) -> None:
        super().update(batch, real)
        if real:
            return
        for index, row in enumerate(batch.rows.tolist()):
            if len(self._samples) < self._options.shown or row < max(self._samples):
                self._samples[row] = batch.image(index).cpu()
                for surplus in sorted(self._samples)[self._options.shown :]:
                    del self._samples[surplus]

    def compute(self) -> dict[str, float]:
        reals, fakes, real_radii = self.sides()
        apart, indices = nearest(fakes, reals, min(self._options.neighbours, len(reals)))
        own = apart[:, 0] > real_radii[indices[:, 0]]
        self._sheet = self._draw(indices)
        return {self.space.named("authenticity"): float(own.double().mean())}

    def pictures(self) -> dict[str, Image.Image]:
        return {} if self._sheet is None else {"nearest-neighbours": self._sheet}

    def forget_fakes(self) -> None:
        super().forget_fakes()
        self._samples.clear()

    def _draw(self, indices: Tensor) -> Image.Image | None:
        """A row per sample: it, and after a gap the nearest training images."""
        from PIL import Image, ImageDraw

        if self._set is None or not self._samples:
            return None
        rows = sorted(self._samples)
        width = (indices.shape[1] + 1) * (CELL + MARGIN) + 2 * MARGIN
        sheet = Image.new("RGB", (width, HEADING + len(rows) * (CELL + MARGIN) + MARGIN), "white")
        pen = ImageDraw.Draw(sheet)
        pen.text((MARGIN, 4), "sample", fill="black")
        pen.text((CELL + 3 * MARGIN, 4), "nearest in the set, from the left", fill="black")
        for line, row in enumerate(rows):
            top = HEADING + line * (CELL + MARGIN)
            sheet.paste(cell(self._samples[row]), (MARGIN, top))
            for column, index in enumerate(indices[line].tolist(), start=1):
                picture = self._set.gather(torch.tensor([index]))[0].cpu()
                sheet.paste(cell(picture), (2 * MARGIN + column * (CELL + MARGIN), top))
        return sheet


def nearest(of: Tensor, among: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of each (N, D) the nearest of (M, D): squared distances and numbers (N, count)."""
    apart, indices = [], []
    for _, tile in tiles(of):
        found = squared_distances(tile, among).topk(count, dim=1, largest=False)
        apart.append(found.values)
        indices.append(found.indices)
    return torch.cat(apart), torch.cat(indices)


def cell(pixels: Tensor) -> Image.Image:
    """(C, H, W) uint8 → RGB with a longer side of CELL; small ones keep their pixels sharp."""
    from PIL import Image

    array = pixels[:3].permute(1, 2, 0).numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")
    scale = CELL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    how = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return image.resize(size, how)
