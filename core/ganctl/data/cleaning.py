"""Pictures that a set is better without: blank ones, discs on a square, near duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .pixels import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image


def deviation(image: Image) -> float:
    """Standard deviation in levels (0 to 127.5) of the channel that varies most."""
    from PIL import ImageStat

    return float(max(ImageStat.Stat(image).stddev))


def is_disc(pixels: Pixels) -> bool:
    """Whether (H, W, C) shows a round thing on a plain ground: a record, not its cover.

    The corners outside the inscribed circle are all of one colour, the inside is not, and along
    the rim the picture differs from that colour nearly all the way round.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 16:
        return False
    values = pixels.astype(np.float32)
    y, x = np.ogrid[:height, :width]
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    radius = np.hypot((y - middle_y) / (height / 2), (x - middle_x) / (width / 2))
    outside = values[radius > 1.06]
    ground = np.median(outside, axis=0)
    if np.abs(outside - ground).max(axis=1).mean() > 6:
        return False
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    rim_y = np.rint(middle_y + 0.9 * height / 2 * np.sin(angles)).astype(int)
    rim_x = np.rint(middle_x + 0.9 * width / 2 * np.cos(angles)).astype(int)
    differs = np.abs(values[rim_y, rim_x] - ground).max(axis=1) > 16
    return bool(differs.mean() > 0.9)


def perceptual_hash(image: Image) -> int:
    """64 bits that stay nearly the same when a picture is resized or compressed anew.

    The lowest 8 × 8 frequencies of the gray picture at 32 × 32, each above their median or not,
    as http://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html describes it,
    and with the bits that the library ImageHash gives.
    """
    from PIL.Image import Resampling

    gray = image if image.mode == "L" else image.convert("L")
    small = np.asarray(gray.resize((32, 32), Resampling.LANCZOS), dtype=np.float64)
    # Frequencies that are alike in truth (none at all, of a plain picture) must not differ here.
    frequencies = np.round(_COSINES @ small @ _COSINES.T, 6).ravel()
    ordered = np.sort(frequencies)
    bits = frequencies > (ordered[31] + ordered[32]) / 2
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


_COSINES = 2 * np.cos(np.pi / 64 * np.outer(np.arange(8), np.arange(1, 64, 2)))
"""The first 8 rows of the discrete cosine transform (DCT-II) of 32 values."""


class NearDuplicates:
    """Finds an earlier picture whose hash differs by at most `distance` bits."""

    def __init__(self, distance: int) -> None:
        self._distance = distance
        self._hashes = np.empty(1024, dtype=np.uint64)
        self._names: list[str] = []

    def find(self, value: int) -> str | None:
        """The name of the nearest earlier picture within the distance."""
        hashes = self._hashes[: len(self._names)]
        if not len(hashes):
            return None
        distances = np.bitwise_count(hashes ^ np.uint64(value))
        nearest = int(distances.argmin())
        return self._names[nearest] if distances[nearest] <= self._distance else None

    def add(self, value: int, name: str) -> None:
        """Remember a picture that was kept."""
        if len(self._names) == len(self._hashes):
            self._hashes = np.resize(self._hashes, 2 * len(self._hashes))
        self._hashes[len(self._names)] = value
        self._names.append(name)
