"""Pictures as they come: decoded to be checked, and stored whole under names of our own."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from ..data.cleaning import perceptual_hash
from ..data.parallel import Budget
from ..data.pixels import Unreadable, go_through, make_right, open_picture
from ..errors import GanctlError
from ..plugin import Item
from .manifest import Outcome

SUFFIX = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}

OURS = re.compile("[0-9a-f]{32}")
"""What `stem_of` gives: other files in the folder are left alone."""

_IN_FLIGHT = Budget(128_000_000)
"""Pixels that are being decoded at a time."""


def stem_of(key: str) -> str:
    """The file's name, less its suffix: of nothing that a server wrote but its hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def store(item: Item, data: bytes, folder: Path) -> Outcome:
    """Check the picture and store it, if it is one; it is not safe before `sync`.

    Raises `GanctlError` when the disk refuses.
    """
    try:
        outcome = examined(item, data)
    except Unreadable as error:
        return Outcome(item.key, "skipped", bytes=len(data), error=f"unreadable: {error}")
    _write(folder / outcome.file, data)
    return outcome


def examined(item: Item, data: bytes) -> Outcome:
    """What is recorded of a picture that is stored. Raises `Unreadable` for what is none."""
    if not data:
        raise Unreadable("an empty file")
    image = open_picture(data)
    kind = image.format or "PNG"
    width, height = image.size
    jpeg = kind == "JPEG"  # decoded at an eighth
    with _IN_FLIGHT.take(width * height // (64 if jpeg else 1)):
        image = go_through(image)
        phash = perceptual_hash(image if jpeg else make_right(image, 3))
    return Outcome(
        item.key,
        "stored",
        file=f"{stem_of(item.key)}{SUFFIX.get(kind, f'.{kind.lower()}')}",
        sha256=hashlib.sha256(data).hexdigest(),
        phash=phash,
        bytes=len(data),
        width=width,
        height=height,
    )


def sync(file: Path) -> None:
    """Make a stored picture survive a power cut. Raises `GanctlError` when the disk refuses."""
    try:
        with file.open("r+b", buffering=0) as stored:
            os.fsync(stored.fileno())
    except OSError as error:
        raise GanctlError(f"cannot write {file}: {error.strerror or error}") from None


def _write(file: Path, data: bytes) -> None:
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("wb", buffering=0) as out:
            view = memoryview(data)
            while view:
                view = view[out.write(view) :]
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise GanctlError(f"cannot write {file}: {error.strerror or error}") from None
