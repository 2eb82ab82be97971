"""Tar files, as WebDataset shards are: read where they are, nothing is unpacked."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from ganctl import Item, Opt, Source, Unreadable, UserError

from . import files
from .places import reader

LABEL_SUFFIXES = ("cls", "txt", "json")
"""Of the members that hold labels; the first that is there counts."""

MAX_LABEL = 2**20
MAX_SHARDS = 100_000
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class TarOptions:
    """Where the shards are."""

    path: Annotated[
        str, Opt("A .tar, a folder with .tar files, or a pattern: 'shards/{000..012}.tar'.")
    ] = ""


class Member(NamedTuple):
    """A regular file in a tar: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


class Tar(Source[TarOptions], api=1):
    """Pictures in tar files, such as WebDataset shards, read where they are."""

    references = ("https://github.com/webdataset/webdataset: how labels stand beside pictures",)

    def reads(self, path: Path) -> bool:
        return reader(path) == "tar"

    def check(self, options: TarOptions) -> None:
        if next(self.items(options), None) is None:
            raise UserError(f"source tar: no pictures in {options.path}")

    def fingerprint(self, options: TarOptions) -> str:
        return files.stamp(_shards(options.path))

    def items(self, options: TarOptions) -> Iterator[Item]:
        shards = _shards(options.path)
        root = os.path.commonpath([shard.parent.absolute() for shard in shards])
        for shard in shards:
            members = _members(shard)
            labels = {
                member.name: member
                for member in members
                if member.name.rpartition(".")[2] in LABEL_SUFFIXES
            }
            within = shard.absolute().relative_to(root).as_posix()
            for member in members:
                if member.name not in labels:
                    yield Item(
                        key=f"{within}/{member.name}",
                        uri=f"{shard}/{member.name}",
                        label=_label(shard, member.name, labels),
                        meta={"tar": str(shard), "offset": member.offset, "size": member.size},
                    )

    def open(self, options: TarOptions, item: Item) -> bytes:
        if item.meta["size"] > files.MAX_FILE:
            raise Unreadable(f"over {files.MAX_FILE >> 20} MB")
        return _read(Path(item.meta["tar"]), item.meta["offset"], item.meta["size"])


def _shards(path: str) -> list[Path]:
    """The tar files that the option `path` names, in order."""
    if RANGE.search(path) and not os.path.exists(path):
        shards = [Path(name) for name in _expanded(path)]
        gone = [shard for shard in shards if not shard.is_file()]
        if gone:
            raise UserError(f"source tar: {gone[0]}: no such file ({len(gone)} of {len(shards)})")
        return shards
    given = files.existing("tar", path)
    if not given.is_dir():
        return [given]
    shards = sorted(p for p in given.glob("*.tar") if not files.is_litter(p.name))
    if not shards:
        raise UserError(f"source tar: {given}: no .tar file in it")
    return shards


def _expanded(pattern: str) -> Iterator[str]:
    """`a{08..10}.tar` → a08.tar, a09.tar, a10.tar, as a shell does it."""
    pieces = RANGE.split(pattern)  # text, first, last, text, first, last, …, text
    texts, firsts, lasts = pieces[::3], pieces[1::3], pieces[2::3]
    ranges = [range(int(a), int(b) + 1) for a, b in zip(firsts, lasts, strict=True)]
    count = math.prod(map(len, ranges))
    if not 0 < count <= MAX_SHARDS:
        raise UserError(f"source tar: {pattern} names {count:,} files: wanted 1 to {MAX_SHARDS:,}")
    for numbers in itertools.product(*ranges):
        filled = (
            f"{number:0{len(a)}d}{text}"
            for number, a, text in zip(numbers, firsts, texts[1:], strict=True)
        )
        yield texts[0] + "".join(filled)


@files.kept(2)
def _members(shard: Path) -> list[Member]:
    """The regular files in it, in order. Raises `UserError` when it is damaged or cut."""
    found: dict[str, Member] = {}  # of two members of one name the last counts
    offset = 0
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.size < 0 or tar.offset <= offset:  # Python before 3.11.14 would loop
                    raise UserError(f"source tar: {shard}: damaged at byte {offset}")
                offset = tar.offset
                if member.isreg() and not member.issparse() and not files.is_litter(member.name):
                    found.pop(member.name, None)
                    found[member.name] = Member(member.name, member.offset_data, member.size)
                tar.members = []  # type: ignore[attr-defined]  # it would remember them all
            offset = tar.offset
        rest = _read(shard, offset, tarfile.BLOCKSIZE)
    except tarfile.ReadError as error:
        if offset == 0 and _is_compressed(shard):
            raise UserError(
                f"source tar: {shard} is compressed, and its pictures cannot be reached one by "
                "one: unpack it to a plain .tar first (gunzip, unzstd …)"
            ) from None
        raise _damaged(shard, offset, error) from None
    except (tarfile.TarError, OSError, ValueError, Unreadable) as error:
        raise _damaged(shard, offset, error) from None
    if rest.strip(b"\0"):  # what `tarfile` takes for the end in silence
        raise UserError(f"source tar: {shard}: damaged at byte {offset}")
    return list(found.values())


def _damaged(shard: Path, offset: int, error: Exception) -> UserError:
    end = shard.stat().st_size  # before the end of the last member, where that is cut
    return UserError(f"source tar: {shard}: damaged or cut at byte {min(offset, end)}: {error}")


def _is_compressed(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(6).startswith(
            (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd
        )


def _label(shard: Path, name: str, labels: dict[str, Member]) -> str | None:
    """From the member of the same name up to its first dot, with a label's suffix."""
    folder, _, file = name.rpartition("/")
    base = f"{folder}/{file.partition('.')[0]}".lstrip("/")
    for suffix in LABEL_SUFFIXES:
        member = labels.get(f"{base}.{suffix}")
        if member is None:
            continue
        if member.size > MAX_LABEL:
            raise UserError(f"source tar: {shard}: {member.name} is too large for a label")
        try:
            text = _read(shard, member.offset, member.size).decode("utf-8-sig")
            if suffix == "json":
                fields = json.loads(text)
                value = fields.get("label", fields.get("class", ""))
                if not isinstance(value, str | int):
                    raise TypeError("it is neither a text nor a whole number")
                text = str(value)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"source tar: {shard}: {member.name}: no label: {error}") from None
        if text := " ".join(text.split()):
            return text
    return None


def _read(file: Path, offset: int, size: int) -> bytes:
    """So many bytes, on a handle of its own: threads do not meet. Raises `Unreadable`."""
    try:
        with file.open("rb", buffering=0) as stream:
            stream.seek(offset)
            data = stream.read(size)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    if len(data) != size:
        raise Unreadable(f"{file.name} ends before it")
    return data
