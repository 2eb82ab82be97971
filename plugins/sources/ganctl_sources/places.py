"""Which source of this package reads a path: names and a few bytes decide, one at most."""

from __future__ import annotations

import gzip
import os
import re
import zipfile
import zlib
from pathlib import Path

IDX_IMAGES = re.compile(r"(?P<part>.*)-images(?P<dot>[-.])idx[34]-ubyte(\.gz)?")
CIFAR_BATCH = re.compile(r"data_batch_\d+|test_batch|train|test")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
LIST_SUFFIXES = (".csv", ".tsv", ".txt")


def reader(path: Path) -> str | None:
    """The name of the source that reads `path`; None when none of this package does."""
    try:
        if path.is_dir():
            return _of_folder(path)
        return _of_file(path) if path.is_file() else None
    except OSError:  # no permission: the source that it is given to will say so
        return "folder" if path.is_dir() else None


def is_fetched(path: Path) -> bool:
    """Whether `ganctl fetch` made this folder: the source `fetched` knows what counts in it."""
    return (path / "manifest.sqlite").is_file() and (path / "pictures").is_dir()


def _of_folder(path: Path) -> str | None:
    with os.scandir(path) as entries:
        names = [e.name for e in entries if not e.name.startswith(".")]
    if is_fetched(path):
        return None
    if any(IDX_IMAGES.fullmatch(name) for name in names):
        return "idx"
    if any(_is_cifar(path / name) for name in names if CIFAR_BATCH.fullmatch(name)):
        return "cifar"
    for source, suffix in (("tar", ".tar"), ("parquet", ".parquet")):
        if names and all(name.endswith(suffix) for name in names):
            return source
    return "folder"


def _of_file(path: Path) -> str | None:
    name = path.name.lower()
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        return "zip"
    if head.startswith(b"PAR1") or name.endswith(".parquet"):
        return "parquet"
    if head[257:262] == b"ustar" or name.endswith(TAR_SUFFIXES):
        return "tar"
    if _is_idx(path, head):
        return "idx"
    if CIFAR_BATCH.fullmatch(path.name) and _is_cifar(path):
        return "cifar"
    for source, suffixes in (("video", VIDEO_SUFFIXES), ("list", LIST_SUFFIXES)):
        if name.endswith(suffixes):
            return source
    # Last, as it looks for a zip's end only, and a zip may stand at the end of any file.
    return "zip" if name.endswith(".zip") or zipfile.is_zipfile(path) else None


def _is_idx(path: Path, head: bytes) -> bool:
    """Unsigned bytes of rank 3 or 4, gzipped or not."""
    if head.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as file:
                head = file.read(4)
        except (OSError, EOFError, zlib.error):
            return False
    return head[:4] in (b"\x00\x00\x08\x03", b"\x00\x00\x08\x04")


def _is_cifar(path: Path) -> bool:
    """A pickle, of protocol 2 or later."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"\x80"
