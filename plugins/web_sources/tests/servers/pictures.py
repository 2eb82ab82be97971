"""Covers: JPEGs that are always the same for a seed, and unlike those of other seeds."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageChops

SIDE = 640


def picture(seed: int, side: int = SIDE) -> Image.Image:
    """Blurred patches of colour under a grain that is the same for all."""
    draw = np.random.default_rng(seed)
    patches = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    smooth = Image.fromarray(patches).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    whole = ImageChops.add(smooth, _grain(), 1, -24)
    return whole if side == SIDE else whole.resize((side, side), Image.Resampling.LANCZOS)


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


class Covers:
    """JPEGs of covers by seed, side and quality, each made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int, int], bytes] = {}
        self._lock = threading.Lock()

    def __call__(self, seed: int, side: int = SIDE, quality: int = 88) -> bytes:
        key = seed, side, quality
        found = self._made.get(key)
        if found is None:
            made = jpeg(picture(seed, side), quality)
            with self._lock:
                found = self._made.setdefault(key, made)
        return found

    def warm(self, seeds: Iterable[int], side: int = SIDE) -> None:
        """Make them now, so that no request waits for one: about 4 s for 500 on two cores."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda seed: self(seed, side), seeds))


_grains: list[Image.Image] = []


def _grain() -> Image.Image:
    if not _grains:
        noise = np.random.default_rng(0).integers(0, 49, (SIDE, SIDE, 3), dtype=np.uint8)
        _grains.append(Image.fromarray(noise))
    return _grains[0]
