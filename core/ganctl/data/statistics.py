"""Figures of a whole set, from one reading of it."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .dataset import REPORT, Dataset
from .parallel import in_threads
from .pixels import FORMATS


@dataclass(frozen=True)
class Statistics:
    """Exact over all pixels of all images."""

    formats: dict[str, int]
    """How many files are of which format (PNG, JPEG, …), the most frequent first."""
    mean: list[float]
    """Of each channel, in [0, 1]."""
    std: list[float]
    file_bytes: int
    """Of all image files together."""
    copies: list[tuple[str, str]]
    """(first, again): images whose pixels are those of an earlier one, in the set's order."""


@dataclass(frozen=True)
class Account:
    """What the set's report.csv says of the files that it was made from."""

    files: int
    kept: int
    left_out: dict[str, int]
    """Files per reason, the most frequent first."""


def compute_statistics(
    dataset: Dataset, advance: Callable[[int], None] = lambda count: None
) -> Statistics:
    """Decode every image once, in threads. `advance` is told how many are done.

    Raises `UserError` for an image that cannot be read or is not of the set's size.
    """
    from PIL import Image

    def look(index: int) -> tuple[int, str, bytes, list[int], list[int]]:
        data = dataset.encoded(index)
        pixels = dataset.decode(index, data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            kind = image.format or "?"
        channels = pixels.reshape(len(pixels), -1)
        sums = channels.sum(axis=1, dtype=np.int64)
        squares = np.square(channels, dtype=np.uint16).sum(axis=1, dtype=np.int64)
        digest = hashlib.sha256(pixels.data).digest()
        return len(data), kind, digest, sums.tolist(), squares.tolist()

    count, channels, height, width = dataset.shape
    formats, seen, copies, file_bytes = Counter[str](), dict[bytes, str](), [], 0
    sums, squares = [0] * channels, [0] * channels  # Python's whole numbers do not overflow
    for index, (size, kind, digest, own_sums, own_squares) in enumerate(
        in_threads(look, range(count))
    ):
        file_bytes += size
        formats[kind] += 1
        name = dataset.names[index]
        if (first := seen.setdefault(digest, name)) is not name:
            copies.append((first, name))
        for channel in range(channels):
            sums[channel] += own_sums[channel]
            squares[channel] += own_squares[channel]
        advance(index + 1)
    pixels = count * height * width
    variances = [
        (pixels * square - total**2) / pixels**2
        for total, square in zip(sums, squares, strict=True)
    ]
    return Statistics(
        formats=dict(formats.most_common()),
        mean=[total / pixels / 255 for total in sums],
        std=[math.sqrt(variance) / 255 for variance in variances],
        file_bytes=file_bytes,
        copies=copies,
    )


def read_account(dataset: Dataset) -> Account | None:
    """None if the set has no report.csv, or somebody else's."""
    data = dataset.other_file(REPORT)
    if data is None:
        return None
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8", "replace"), newline=""))
        if not {"kept", "why"} <= set(reader.fieldnames or ()):
            return None
        rows = list(reader)
        kept = [row["kept"] == "yes" for row in rows]
        reasons = Counter((row["why"] or "").partition(":")[0] for row in rows)
    except csv.Error:
        return None
    reasons.pop("", None)
    return Account(len(rows), sum(kept), dict(reasons.most_common()))
