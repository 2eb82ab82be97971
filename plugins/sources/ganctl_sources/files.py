"""Files on this machine: found, read, stamped, and kept in memory while they stay the same."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ganctl import Unreadable, UserError

MAX_FILE = 256 * 2**20
"""Bytes of the largest picture file that is read."""

LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What operating systems leave beside pictures."""

T = TypeVar("T")


def existing(source: str, path: str) -> Path:
    """The option `path` of that source. Raises `UserError` when nothing is there."""
    if not path:
        raise UserError(f"source {source}: say where the pictures are: --source.path PATH")
    if not os.path.exists(path):
        raise UserError(f"source {source}: {path}: no such file or folder")
    return Path(path)


def is_litter(name: str) -> bool:
    """Whether a file's name, folders included, is hidden or the system's own."""
    parts = PurePosixPath(name).parts
    return any(p in LITTER or (p.startswith(".") and p != "..") for p in parts)


def read_picture(file: Path) -> bytes:
    """A whole file. Raises `Unreadable` when it is missing, too large, or no regular file."""
    try:
        facts = file.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise Unreadable("a folder, or a link to one, which is not followed")
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for its writer
            raise Unreadable("not a regular file")
        if facts.st_size > MAX_FILE:
            raise Unreadable(f"over {MAX_FILE >> 20} MB")
        return file.read_bytes()
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from None


def stamp(files: Iterable[Path]) -> str:
    """Changes with the names, sizes and times of the files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.absolute()) + b"\0")
        try:
            facts = file.stat()
        except (OSError, ValueError):  # a link to nowhere: reading it will say so
            continue
        digest.update(f"{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def kept(count: int) -> Callable[[Callable[[Path], T]], Callable[[Path], T]]:
    """Keeps what a function of a file gave, for the last `count` files that it was asked for.

    A file that has changed is read again. Threads wait for each other: none loads it twice.
    """

    def decorate(load: Callable[[Path], T]) -> Callable[[Path], T]:
        lock = threading.Lock()

        @lru_cache(maxsize=count)
        def cached(file: Path, facts: tuple[int, int] | None) -> T:
            return load(file)

        @wraps(load)
        def call(file: Path) -> T:
            try:
                now = file.stat()
                facts = (now.st_size, now.st_mtime_ns)
            except (OSError, ValueError):
                facts = None  # `load` says what is wrong
            with lock:
                return cached(file, facts)

        return call

    return decorate
