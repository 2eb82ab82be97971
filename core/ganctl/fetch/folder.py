"""The folder of a fetch: one process at a time, in agreement with its manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..data.cleaning import NearDuplicates
from ..errors import GanctlError, UserError
from .manifest import Manifest
from .pictures import OURS

PICTURES = "pictures"
DUPLICATES = "duplicates"
REMOVED = "removed"
"""What is not listed any more; it is taken back from here if it is listed again."""


def folder_name(name: str, identity: Mapping[str, Any]) -> str:
    """What the folder is called where the user names none: the same pictures, the same name."""
    digest = hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()[:10]
    return f"{name.replace(':', '-')}-{digest}"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Within: the folder is there, can be written, and no other process works in it."""
    try:
        for name in (PICTURES, DUPLICATES):
            (folder / name).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: another process is fetching into this folder") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None
    try:
        yield
    except OSError as error:
        raise GanctlError(f"{folder}: {error.strerror or error}") from None
    finally:
        lock.release()


def reconcile(manifest: Manifest, folder: Path) -> dict[str, Path]:
    """Make folder and manifest agree; gives the files, by stem, that are not recorded yet."""
    places = {"stored": str(folder / PICTURES), "duplicate": str(folder / DUPLICATES)}
    there: dict[str, str] = {}
    for place in (str(folder / REMOVED), *reversed(places.values())):
        with os.scandir(place) if os.path.isdir(place) else nullcontext(()) as files:
            for file in files:
                if file.name.endswith(".part"):
                    os.unlink(file)
                elif OURS.fullmatch(file.name.partition(".")[0]):
                    there[file.name] = file.path
    lost = []
    for row in manifest.rows():
        found = there.get(row.file)
        if found is None or os.stat(found).st_size != row.bytes:
            lost.append(row.key)  # deleted, or cut short by a power failure
            continue
        del there[row.file]
        right = os.path.join(places[row.state], row.file)
        if found != right:
            os.replace(found, right)
    manifest.lose(lost)
    return {Path(name).stem: Path(file) for name, file in there.items()}


def set_aside(files: Iterable[Path], folder: Path) -> None:
    """Take files that no listed item stands for out of the way."""
    for file in files:
        (folder / REMOVED).mkdir(exist_ok=True)
        file.replace(folder / REMOVED / file.name)


def settle(manifest: Manifest, near: int) -> None:
    """Find duplicates: the first of the listing is kept."""
    seen: dict[str, str] = {}
    similar = NearDuplicates(near)
    changes = []
    for row in manifest.rows():
        why = ""
        if earlier := seen.get(row.sha256):
            why = f"duplicate: the same file as {earlier}"
        elif row.phash is not None and (earlier := similar.find(row.phash)):
            why = f"near duplicate: looks like {earlier}"
        else:
            seen[row.sha256] = row.key
            if row.phash is not None:
                similar.add(row.phash, row.key)
        state = "duplicate" if why else "stored"
        if state != row.state:
            changes.append((row.key, state, why))
    manifest.settle(changes)
