"""Zip archives of strangers: listed within limits, read member by member, never unpacked.

No name in the archive becomes a path: members are read into memory where the directory says they
are. What a member declares is a limit, not a promise.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ganctl import GanctlError, Unreadable, UserError, is_image_name

MAX_MEMBERS = 1_000_000
MAX_DIRECTORY = 128 * 2**20
"""Bytes of the central directory: some 90 for each member, and 700 once it is read."""

MAX_MEMBER = 256 * 2**20
"""Bytes of the largest picture file that is read."""

MAX_RATIO = 200
"""Of a member of over 1 MB to its compressed size. Deflate comes to 1032 at most, and drawings
in formats that do not compress come to some tens."""

LOST = "damaged: it is not where the archive's directory says"

ENCRYPTED, UTF8 = 0x1, 0x800
"""Bits of a member's flags: APPNOTE.TXT, 4.4.4."""

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive. `name` is its path there, with `/`, and is one line of text."""

    name: str
    size: int
    """Bytes that it declares to have."""
    compressed: int
    offset: int
    """Of its header in the archive."""
    method: int
    crc: int
    fault: str | None
    """Why it is not read; None when it may be a picture."""

    @property
    def folder(self) -> str:
        """The name of the folder that it lies in; empty at the top."""
        return self.name.rpartition("/")[0].rpartition("/")[2]


class Archive:
    """An archive's directory, read once; `read` may be called from several threads."""

    def __init__(self, file: Path) -> None:
        """Raises `GanctlError` when it is no zip archive, or not a whole one."""
        self.file = file
        try:
            with _Bounded(file) as stream, zipfile.ZipFile(stream) as archive:
                infos = archive.infolist()
                self._size = stream.seek(0, io.SEEK_END)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as e:
            raise GanctlError(f"it is no zip archive that can be read ({e})") from None
        if len(infos) > MAX_MEMBERS:
            raise GanctlError(f"it has {len(infos):,} members, more than {MAX_MEMBERS:,}")
        self.members = {member.name: member for member in _named_once(infos)}
        """All files by their names, in the archive's order."""

    def read(self, name: str) -> bytes:
        """The member's bytes. Raises `Unreadable` when it is not there, damaged, or at fault."""
        member = self.members.get(name)
        if member is None:
            raise Unreadable("not in the archive")
        if member.fault is not None:
            raise Unreadable(member.fault)
        if not 0 <= member.offset < self._size:
            raise Unreadable(LOST)
        with self.file.open("rb", buffering=0) as stream:  # its own: threads do not meet
            stream.seek(member.offset)
            header = stream.read(30)
            if len(header) < 30 or not header.startswith(b"PK\3\4"):
                raise Unreadable(LOST)
            stream.seek(sum(struct.unpack_from("<HH", header, 26)), io.SEEK_CUR)  # name, extra
            data = stream.read(member.compressed)
        if member.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
            except zlib.error as error:
                raise Unreadable(f"damaged: {error}") from None
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise Unreadable("damaged: not the bytes that the archive's directory promises")
        return data


class _Bounded(io.FileIO):
    """Keeps `zipfile` from reading a directory of gigabytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory has {size:,} bytes")
        return super().read(size) or b""


def check_total(members: list[Member], limit: int) -> None:
    """Raise `UserError` when those that are read come to more than `limit` bytes, unpacked."""
    total = sum(member.size for member in members if member.fault is None)
    if total > limit:
        raise UserError(
            f"its pictures unfold to {total / 1e9:,.1f} GB, more than the {limit / 1e9:g} GB "
            "that --source.max-unpacked-gb allows"
        )


def _named_once(infos: list[zipfile.ZipInfo]) -> Iterator[Member]:
    """Files, no folders; of those with one name the second gets another."""
    last: dict[str, int] = {}  # number that a name came to; kept, as all may have one name
    for info in infos:
        if info.filename.endswith(("/", "\\")):
            continue
        original = name = _name(info)
        while name in last:
            last[original] += 1
            name = f"{original}#{last[original]}"
        last[name] = 1
        yield Member(
            name=name,
            size=info.file_size,
            compressed=info.compress_size,
            offset=info.header_offset,
            method=info.compress_type,
            crc=info.CRC,
            fault=_fault(info, original),
        )


def _name(info: zipfile.ZipInfo) -> str:
    name = info.filename
    if not info.flag_bits & UTF8:  # of an unknown encoding, and then mostly UTF-8 all the same
        with suppress(ValueError):
            name = name.encode("cp437").decode()
    name = name.replace("\\", "/")
    return name if name.isprintable() else ascii(name)[1:-1]


def _fault(info: zipfile.ZipInfo, name: str) -> str | None:
    """Why the member is not read."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        return "its name leads out of the archive"
    if kind == stat.S_IFLNK:
        return "a link"
    if kind not in (0, stat.S_IFREG):
        return "not a regular file"
    if name.lower().endswith(ARCHIVES):
        return "an archive within the archive, which is not opened"
    if not is_image_name(name):
        return "not a picture by its name"
    if info.flag_bits & ENCRYPTED:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compressed by a method that is not read ({info.compress_type})"
    if max(info.file_size, info.compress_size) > MAX_MEMBER:
        return f"over {MAX_MEMBER >> 20} MB"
    if info.file_size > max(2**20, MAX_RATIO * info.compress_size):
        return f"it unfolds to {info.file_size // max(info.compress_size, 1):,} times its size"
    return None
