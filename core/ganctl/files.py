"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .errors import GanctlError


def write_atomically(file: Path, data: bytes) -> None:
    """Write beside, sync, rename. Raises `GanctlError` when the disk refuses."""
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise GanctlError(f"cannot write {file}: {error.strerror or error}") from None


def sync_folder(folder: Path) -> None:
    """Make renames within the folder survive a power cut."""
    if os.name == "posix":  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
