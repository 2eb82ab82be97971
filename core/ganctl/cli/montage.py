"""`ganctl montage`: training as a film, from a run's sample grids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .console import progress
from .film import ENCODERS, Film, find_av
from .grids import find_grids, open_grid
from .parse import existing, run_command

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 1024
"""Grids with a longer side are scaled down to it."""

SECONDS, HOLD = 10, 2
"""How long a film is, as far as the frame rate allows, and how long its last frame stays."""
SLOWEST, FASTEST = 2, 25
"""Grids per second that are chosen for it."""

_CAPTION, _INK = 28, "#404040"


def run(argv: list[str]) -> int:
    return run_command(montage, "montage", argv)


def montage(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="The run folder.")],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="The film: a .gif, .webp or .mp4 file [RUN/montage.gif]."
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=50,
            help=f"Grids per second, else what makes it {SECONDS} seconds, from {SLOWEST} (each "
            f"stays for {1 / SLOWEST:g} s) to {FASTEST}.",
        ),
    ] = None,
) -> int:
    """Show the training as a film, from all sample grids of a run."""
    from ..files import write_atomically

    file = Path(out) if out else Path(folder) / "montage.gif"
    encode = ENCODERS.get(file.suffix.lower())
    if encode is None:
        raise UserError(f"montage: --out {file}: a film is a .gif, .webp or .mp4 file")
    if encode is ENCODERS[".mp4"]:
        find_av()
    grids = find_grids(existing(folder))
    if len(grids) < 2:
        raise UserError(
            f"{folder}: a film needs two sample grids or more, in {Path(folder) / 'samples'}: "
            f"there {'is one' if grids else 'are none'}"
        )
    rate = fps or max(SLOWEST, min(FASTEST, round(len(grids) / SECONDS)))
    with progress("filming", len(grids), "grids") as update:
        write_atomically(file, encode(Film(len(grids), frames(grids), rate, HOLD, update)))
    print(file)
    return 0


def frames(grids: dict[int, Path]) -> Callable[[int], Image]:
    """Number → that grid as a frame; it raises `UserError` for one that is no picture, or of
    another size."""
    ages, last = list(grids), max(grids)
    size = open_grid(grids[ages[0]]).size

    def make(number: int) -> Image:
        file = grids[ages[number]]
        grid = open_grid(file)
        if grid.size != size:
            raise UserError(
                f"{file}: {grid.width}x{grid.height} pixels, the grids before it "
                f"{'x'.join(map(str, size))}"
            )
        return frame(grid, ages[number], last)

    return make


def frame(grid: Image, images: int, last: int) -> Image:
    """The grid, and below it the images shown, in numbers and as a line that grows with them."""
    from PIL import Image, ImageDraw, ImageFont

    if max(grid.size) > LARGEST:
        grid = grid.copy()
        grid.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    width, height = (side + side % 2 for side in (grid.width, grid.height + _CAPTION))
    canvas = Image.new(grid.mode, (width, height), "white")
    canvas.paste(grid)
    canvas.paste(_INK, (0, grid.height + 2, round(width * images / last), grid.height + 5))
    text = f"{images / 1000:,.{3 if last < 10_000 else 1}f} kimg"
    place = width - 6, grid.height + 5 + (height - grid.height - 5) / 2
    font = ImageFont.load_default(15)
    ImageDraw.Draw(canvas).text(place, text, _INK, font, anchor="rm")
    return canvas
