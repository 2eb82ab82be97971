"""Pictures as people look at them: uint8 arrays, PIL images, grids."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .files import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image


class Images(np.ndarray[Any, np.dtype[np.uint8]]):
    """A uint8 array (N, H, W, C) that also knows PIL: `pil()`, `grid()`."""

    def pil(self) -> list[Image]:
        """One PIL image each: L, RGB or RGBA."""
        return [to_pil(pixels) for pixels in np.asarray(self)]

    def grid(self, columns: int | None = None) -> Image:
        """All of them in one picture, row by row; the columns default to a square."""
        return to_pil(grid(np.asarray(self), columns))


def to_pil(pixels: np.ndarray[Any, Any]) -> Image:
    """(H, W, C) uint8 to a PIL image."""
    from PIL import Image

    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def grid(images: np.ndarray[Any, Any], columns: int | None = None) -> np.ndarray[Any, Any]:
    """(N, H, W, C) uint8 → one (rows·H, columns·W, C); places without an image are white."""
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full((rows * columns, height, width, channels), 255, dtype=np.uint8)
    canvas[:count] = images
    table = canvas.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return table.reshape(rows * height, columns * width, channels)


def enlarge(pixels: np.ndarray[Any, Any], factor: int) -> np.ndarray[Any, Any]:
    """Repeat every pixel `factor` times both ways: small images stay sharp on a screen."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def save_png(image: Image, file: Path) -> None:
    """Write a PNG, whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, "png")
    write_atomically(file, buffer.getvalue())
