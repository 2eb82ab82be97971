"""Picture files of any kind and size, in a folder or a zip."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ganctl import Item, Opt, Source, Unreadable, UserError

from . import files
from .labels import LISTING, by_folder, listed
from .places import is_fetched, reader

NOT_PICTURES = frozenset({LISTING, "report.csv"})
"""What may stand at the top of a set beside its pictures."""


@dataclass(frozen=True)
class PicturesOptions:
    """Where the pictures are."""

    path: Annotated[str, Opt("The folder, or the zip file.")] = ""


class Pictures(Source[PicturesOptions]):
    """What folder and zip share: every file in order of its name, labels by list or folder."""

    def reads(self, path: Path) -> bool:
        return reader(path) == type(self).__name__.lower()

    def check(self, options: PicturesOptions) -> None:
        kind = type(self).__name__.lower()
        path = files.existing(kind, options.path)
        if path.is_dir() != (kind == "folder"):
            other = "folder" if path.is_dir() else "zip"
            raise UserError(f"source {kind}: {path} is not a {kind}: use --source {other}")
        if is_fetched(path):
            raise UserError(
                f"source {kind}: {path} is what `ganctl fetch` brought: use --source fetched"
            )
        if all(map(files.is_litter, self.names(options))):
            raise UserError(f"source {kind}: no pictures in {path}")

    def count(self, options: PicturesOptions) -> int:
        return len(self.names(options))

    def items(self, options: PicturesOptions) -> Iterator[Item]:
        names = self.names(options)
        listing = self.listing(options)
        if listing is None:
            labels = by_folder(names)
        else:
            labels = map(listed(listing, options.path).get, names)
        for name, label in zip(names, labels, strict=True):
            yield Item(key=name, uri=f"{options.path}/{name}", label=label)

    def names(self, options: PicturesOptions) -> list[str]:
        """The names of all files within the folder or zip, sorted, but for hidden folders."""
        raise NotImplementedError

    def listing(self, options: PicturesOptions) -> bytes | None:
        """What `dataset.json` holds, if there is one."""
        raise NotImplementedError


class Folder(Pictures, api=1):
    """Pictures in a folder and the folders below it."""

    def names(self, options: PicturesOptions) -> list[str]:
        root = options.path

        def stop(error: OSError) -> None:
            raise UserError(f"source folder: {error.filename}: {error.strerror}") from None

        def found() -> Iterator[str]:
            for folder, below, names in os.walk(root, onerror=stop):
                below[:] = [name for name in below if not files.is_litter(name)]
                links = [name for name in below if os.path.islink(os.path.join(folder, name))]
                within = Path(folder).relative_to(root)
                for name in (*names, *links):  # `open` says that a link is not followed
                    yield (within / name).as_posix()

        return sorted(filter(_counts, found()))

    def listing(self, options: PicturesOptions) -> bytes | None:
        file = Path(options.path) / LISTING
        try:
            return files.read_picture(file) if file.exists() else None
        except Unreadable as error:
            raise UserError(f"source folder: {file}: {error}") from None

    def fingerprint(self, options: PicturesOptions) -> str:
        root = Path(options.path)
        # Without litter: a file browser may touch it at any time.
        names = [name for name in self.names(options) if not files.is_litter(name)]
        return files.stamp(root / name for name in (LISTING, *names))

    def open(self, options: PicturesOptions, item: Item) -> bytes:
        _refuse_litter(item.key)
        return files.read_picture(Path(options.path) / item.key)


class Zip(Pictures, api=1):
    """Pictures in a zip file, read where they are: nothing is unpacked."""

    def names(self, options: PicturesOptions) -> list[str]:
        # A set: of two members of one name the last counts, as when it is unpacked.
        found = {i.filename for i in _archive(Path(options.path)).infolist() if not i.is_dir()}
        return sorted(filter(_counts, found))

    def listing(self, options: PicturesOptions) -> bytes | None:
        if LISTING not in _archive(Path(options.path)).namelist():
            return None
        try:
            return _member(options.path, LISTING)
        except Unreadable as error:
            raise UserError(f"source zip: {options.path}: {LISTING}: {error}") from None

    def fingerprint(self, options: PicturesOptions) -> str:
        infos = _archive(Path(options.path)).infolist()
        facts = sorted((i.filename, i.CRC, i.file_size) for i in infos)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def open(self, options: PicturesOptions, item: Item) -> bytes:
        _refuse_litter(item.key)
        return _member(options.path, item.key)


def _counts(name: str) -> bool:
    """Whether a file is accounted for: all but lists, and what lies in hidden folders."""
    return name not in NOT_PICTURES and not files.is_litter(name.rpartition("/")[0])


def _refuse_litter(name: str) -> None:
    if files.is_litter(name.rpartition("/")[2]):
        raise Unreadable("hidden, or left by the operating system")


def _member(path: str, name: str) -> bytes:
    archive = _archive(Path(path))
    try:
        with archive.open(name) as member:
            data = member.read(files.MAX_FILE + 1)  # the size it declares may be a lie
    except Exception as error:  # damaged, encrypted, unknown compression …
        raise Unreadable(str(error) or type(error).__name__) from None
    if len(data) > files.MAX_FILE:
        raise Unreadable(f"over {files.MAX_FILE >> 20} MB")
    return data


@files.kept(1)
def _archive(path: Path) -> zipfile.ZipFile:
    """The archive, kept open: reading its directory for every picture takes too long."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"source zip: {path}: not a readable zip file ({error})") from None
