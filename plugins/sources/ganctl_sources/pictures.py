"""Picture files of any kind and size, in a folder or a zip."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from ganctl import Item, Opt, Source, Unreadable, UserError, is_image_name

MAX_FILE = 256 * 2**20
"""Bytes of the largest picture file that is read."""


@dataclass(frozen=True)
class PicturesOptions:
    """Where the pictures are and what they become."""

    path: Annotated[str, Opt("The folder, or the zip file.")] = ""
    channels: Annotated[Literal["rgb", "gray"], Opt("What the pictures are converted to.")] = "rgb"


class Pictures(Source[PicturesOptions]):
    """What folder and zip share: names in order, the first folder's name as the label."""

    def check(self, options: PicturesOptions) -> None:
        kind = type(self).__name__.lower()
        if not options.path:
            raise UserError(f"source {kind}: say where the pictures are: --source.path PATH")
        path = Path(options.path)
        if not path.exists():
            raise UserError(f"source {kind}: {path}: no such file or folder")
        if path.is_dir() != (kind == "folder"):
            other = "folder" if path.is_dir() else "zip"
            raise UserError(f"source {kind}: {path} is not a {kind}: use --source {other}")
        if not self.names(options):
            raise UserError(f"source {kind}: no pictures in {path}")

    def channels(self, options: PicturesOptions) -> int:
        return 1 if options.channels == "gray" else 3

    def count(self, options: PicturesOptions) -> int:
        return len(self.names(options))

    def items(self, options: PicturesOptions) -> Iterator[Item]:
        for name in self.names(options):
            parts = PurePosixPath(name).parts
            label = parts[0] if len(parts) > 1 else None
            yield Item(key=name, uri=f"{options.path}/{name}", label=label)

    def names(self, options: PicturesOptions) -> list[str]:
        """The pictures' names within the folder or zip, sorted."""
        raise NotImplementedError


class Folder(Pictures, api=1):
    """Pictures in a folder and the folders below it."""

    def names(self, options: PicturesOptions) -> list[str]:
        root = Path(options.path)
        found = (
            (Path(folder) / file).relative_to(root).as_posix()
            for folder, _, files in os.walk(root)
            for file in files
        )
        return sorted(filter(is_image_name, found))

    def fingerprint(self, options: PicturesOptions) -> str:
        digest = hashlib.sha256(str(Path(options.path).resolve()).encode())
        for name in self.names(options):
            try:
                stat = (Path(options.path) / name).stat()
            except OSError:  # a link to nowhere: `open` will say so
                continue
            digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="replace"))
        return digest.hexdigest()

    def open(self, options: PicturesOptions, item: Item) -> bytes:
        file = Path(options.path) / item.key
        try:
            if file.stat().st_size > MAX_FILE:
                raise Unreadable(f"over {MAX_FILE >> 20} MB")
            return file.read_bytes()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None


class Zip(Pictures, api=1):
    """Pictures in a zip file, read where they are: nothing is unpacked."""

    def names(self, options: PicturesOptions) -> list[str]:
        return sorted(n for n in _open(options.path).namelist() if is_image_name(n))

    def fingerprint(self, options: PicturesOptions) -> str:
        infos = _open(options.path).infolist()
        facts = sorted((i.filename, i.CRC, i.file_size) for i in infos)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def open(self, options: PicturesOptions, item: Item) -> bytes:
        archive = _open(options.path)
        try:
            with archive.open(item.key) as member:
                data = member.read(MAX_FILE + 1)  # the size it declares may be a lie
        except Exception as error:  # damaged, encrypted, unknown compression …
            raise Unreadable(str(error) or type(error).__name__) from None
        if len(data) > MAX_FILE:
            raise Unreadable(f"over {MAX_FILE >> 20} MB")
        return data


def _open(path: str) -> zipfile.ZipFile:
    """The archive, kept open: reading its directory for every picture takes too long."""
    try:
        stat = Path(path).stat()
        return _opened(path, stat.st_mtime_ns, stat.st_size)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"source zip: {path}: not a readable zip file ({error})") from None


@lru_cache(maxsize=1)
def _opened(path: str, mtime: int, size: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
