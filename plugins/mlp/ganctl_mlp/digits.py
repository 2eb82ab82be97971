"""The UCI optical digits, test part: 1,797 pictures of 8×8 pixels with 17 gray levels."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np


@cache
def read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pixels (1797, 8, 8) uint8 from 0 to 255 and labels (1797,) from 0 to 9."""
    with files(__package__).joinpath("digits.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        levels, labels = stored["levels"], stored["labels"]
    return np.round(levels * (255 / 16)).astype(np.uint8), labels
