"""Pictures as people look at them: uint8 arrays, PIL images, grids."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


_SEAM = 2
"""White pixels between the images of a `sample_grid`, or of a table."""
_FONT, _LONGEST_NAME = 14, 24


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
    return grid(enlarged(images), columns, gap=_SEAM)


def enlarged(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(N, H, W, C): those under 64 pixels several times as large, their pixels kept sharp."""
    factor = max(1, 64 // max(images.shape[1:3]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def labelled(
    table: Sequence[Sequence[Image | None]], rows: Sequence[str], columns: Sequence[str] = ()
) -> Image:
    """Rows of equally large pictures on white, with the rows' names beside and columns' above.

    Rows may be of different lengths; None leaves a place empty.
    """
    from PIL import Image, ImageDraw, ImageFont

    first = next(picture for row in table for picture in row if picture is not None)
    font = ImageFont.load_default(_FONT)

    def widest(names: Sequence[str]) -> int:
        return max((math.ceil(font.getlength(name)) for name in names), default=0)

    rows, columns = [_legible(name) for name in rows], [_legible(name) for name in columns]
    left = widest(rows) + 2 * 6 if any(rows) else _SEAM
    top = _FONT + 2 * 4 if any(columns) else _SEAM
    width, height = max(first.width, widest(columns)) + _SEAM, first.height + _SEAM
    size = left + max(map(len, table)) * width, top + len(table) * height
    canvas = Image.new(first.mode, size, "white")
    pen = ImageDraw.Draw(canvas)
    for column, name in enumerate(columns):
        centre = left + column * width + (width - _SEAM) / 2
        pen.text((centre, top / 2), name, "black", font, anchor="mm")
    for number, (pictures, name) in enumerate(zip(table, rows, strict=True)):
        y = top + number * height
        pen.text((6, y + height / 2), name, "black", font, anchor="lm")
        for column, picture in enumerate(pictures):
            if picture is not None:
                x = left + column * width + (width - _SEAM - picture.width) // 2
                canvas.paste(picture, (x, y))
    return canvas


def _legible(name: str) -> str:
    """One short line of characters that can be drawn."""
    name = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name
    )
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


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
