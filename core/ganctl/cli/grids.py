"""A run's sample grids: which there are, and what they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image


def find_grids(run: Path) -> dict[int, Path]:
    """Images shown → the grid made then, oldest first; not `reals.png`."""
    found = {}
    for file in (run / "samples").glob("*.png"):
        if match := re.fullmatch(r"(\d+)\.(\d{3})", file.stem):
            found[int(match[1] + match[2])] = file
    return dict(sorted(found.items()))


def open_grid(file: Path) -> Image:
    """The picture as L or RGB, what is transparent over white. Raises `UserError`."""
    from ..data.pixels import Unreadable, make_right, open_picture

    try:
        picture = open_picture(file.read_bytes())
        return make_right(picture, 1 if picture.mode == "L" else 3)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except Unreadable as error:
        raise UserError(f"{file}: unreadable: {error}") from None
