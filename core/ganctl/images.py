"""Pictures as people look at them: uint8 arrays, PIL images, grids."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


_SEAM = 2
"""White pixels between the images of a `sample_grid`."""


class Images(np.ndarray[Any, np.dtype[np.uint8]]):
    """A uint8 array (N, H, W, C) that also knows PIL: `pil()`, `grid()`."""

    def pil(self) -> list[Image]:
        """One PIL image each: L, RGB or RGBA."""
        return [to_pil(pixels) for pixels in np.asarray(self)]

    def grid(self, columns: int | None = None) -> Image:
        """All of them in one picture with white seams; the columns default to a square."""
        return to_pil(sample_grid(np.asarray(self), columns))


def to_pil(pixels: np.ndarray[Any, Any]) -> Image:
    """(H, W, C) uint8 to a PIL image."""
    from PIL import Image

    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def grid(
    images: np.ndarray[Any, Any], columns: int | None = None, gap: int = 0
) -> np.ndarray[Any, Any]:
    """(N, H, W, C) uint8 → one (H', W', C), `gap` white pixels between the images."""
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.full((rows * columns, height + gap, width + gap, channels), 255, dtype=np.uint8)
    cells[:count, :height, :width] = images
    table = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    canvas = table.reshape(rows * (height + gap), columns * (width + gap), channels)
    return canvas[: canvas.shape[0] - gap, : canvas.shape[1] - gap]


def sample_grid(images: np.ndarray[Any, Any], columns: int | None = None) -> np.ndarray[Any, Any]:
    """A grid to look at: images under 64 pixels enlarged, their pixels kept sharp."""
    factor = max(1, 64 // max(images.shape[1:3]))
    return grid(images.repeat(factor, axis=1).repeat(factor, axis=2), columns, gap=_SEAM)


def cut_grid(table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The images (N, H, W, C) of a full `sample_grid` of up to 8 by 8, found by its white seams.

    A table without seams is one image.
    """
    rows, columns = _parts(table), _parts(table.swapaxes(0, 1))
    padded = np.pad(table, ((0, _SEAM), (0, _SEAM), (0, 0)))
    height, width = padded.shape[0] // rows, padded.shape[1] // columns
    cells = padded.reshape(rows, height, columns, width, -1).swapaxes(1, 2)
    return cells.reshape(-1, height, width, table.shape[2])[:, :-_SEAM, :-_SEAM]


def _parts(table: np.ndarray[Any, Any]) -> int:
    """How many parts of one height the white rows of a table leave, from 8 down to 1."""
    for count in range(8, 1, -1):
        height, rest = divmod(len(table) + _SEAM, count)
        ends = np.arange(1, count) * height
        if not rest and all((table[ends - row] == 255).all() for row in range(1, _SEAM + 1)):
            return count
    return 1


def draw_png(figure: Figure, dpi: int) -> bytes:
    """A drawing as a PNG, in which texts stand as they are: names may hold `$`, in any script.

    What numbers matplotlib writes at ticks it sets as mathematics, 10⁻³; ticks that bear users'
    words are to be made with `parse_math=False`.
    """
    from matplotlib.axis import Tick
    from matplotlib.text import Text

    ticks = [tick for tick in figure.findobj(Tick) if isinstance(tick, Tick)]
    of_ticks = {text for tick in ticks for text in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text not in of_ticks:
            text.set_parse_math(False)
            text.set_text(text.get_text().encode("utf-8", "backslashreplace").decode())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_png(image: Image, file: Path) -> None:
    """Write a PNG, whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, "png")
    write_atomically(file, buffer.getvalue())
