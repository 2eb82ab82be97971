"""A set's decoded images in one raw file beside it, which later runs map into memory again."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock

from .. import __version__
from ..errors import GanctlError
from .dataset import Dataset
from .parallel import in_threads
from .pixels import Pixels

SPARE = 0.1
"""This share of a disk is left free when a set is kept there unasked."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def map_images(dataset: Dataset, advance: Callable[[int], None] = lambda count: None) -> Pixels:
    """All images, (N, C, H, W) uint8, read from the disk as they are looked at.

    The file is made if it is not there; one process makes it and others wait for it. `advance`
    is told how many images are in it. Raises `UserError` for a set that is not of one size,
    `GanctlError` when the disk refuses.
    """
    if (images := _find(dataset)) is not None:
        return images
    refusal: OSError | None = None
    for folder in _folders(dataset.path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / "lock"):
                file = folder / _name(dataset)
                if _open(file, dataset.shape) is None:
                    _build(dataset, file, advance)
                images = _open(file, dataset.shape)
                assert images is not None
                return images
        except OSError as error:
            refusal = error
            if error.errno in _FULL:
                break
    assert refusal is not None
    raise GanctlError(
        f"cannot keep {_megabytes(dataset)} of images in {folder}: {refusal.strerror or refusal}; "
        "use --cache none or --cache memory"
    )


def has_room(dataset: Dataset) -> bool:
    """Whether the images are on the disk already, or fit there and leave some of it free."""
    if _find(dataset) is not None:
        return True
    for folder in _folders(dataset.path):
        there = next(parent for parent in folder.parents if parent.exists())
        if os.access(folder if folder.exists() else there, os.W_OK):
            disk = shutil.disk_usage(there)
            return math.prod(dataset.shape) <= disk.free - SPARE * disk.total
    return False


def _folders(path: Path) -> list[Path]:
    """Where the file may be: beside the set; else, if one cannot write there, in the user's own
    cache."""
    path = path.resolve()
    own = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [path.with_name(f".{path.name}.cache"), Path(caches) / "ganctl" / own]


def _name(dataset: Dataset) -> str:
    """The same pictures, decoded by the same code."""
    facts = dataset.fingerprint(), __version__, PIL.__version__
    return hashlib.sha256("/".join(facts).encode()).hexdigest()[:32] + ".u8"


def _find(dataset: Dataset) -> Pixels | None:
    name = _name(dataset)
    files = (_open(folder / name, dataset.shape) for folder in _folders(dataset.path))
    return next((images for images in files if images is not None), None)


def _open(file: Path, shape: tuple[int, ...]) -> Pixels | None:
    """The file's images, or None if it is not there or not of that size."""
    try:
        images = np.asarray(np.memmap(file, np.uint8, "r"))
    except (OSError, ValueError):  # absent; empty
        return None
    return images.reshape(shape) if images.size == math.prod(shape) else None


def _build(dataset: Dataset, file: Path, advance: Callable[[int], None]) -> None:
    """Write the file, whole or not at all. Files of what the set held earlier go first."""
    for old in file.parent.glob("*.u8"):
        with suppress(OSError):  # Windows keeps what another process has open
            old.unlink()
    if shutil.disk_usage(file.parent).free < math.prod(dataset.shape):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    part = file.with_suffix(".part")
    try:
        with part.open("wb") as out:
            for count, pixels in enumerate(in_threads(dataset.read, range(len(dataset))), start=1):
                out.write(pixels.data)
                advance(count)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _megabytes(dataset: Dataset) -> str:
    return f"{math.prod(dataset.shape) / 1e6:,.0f} MB"
