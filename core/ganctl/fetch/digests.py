"""Checksums that servers name: md5, sha256, and CRC-32C from google-crc32c."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ..errors import GanctlError

_HEX = re.compile("(?:[0-9a-fA-F]{2}){4}|[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def _new(name: str) -> _Hash | None:
    """None for a checksum of another name."""
    if name == "crc32c":
        try:
            from google_crc32c import Checksum
        except ImportError:
            return None
        crc: _Hash = Checksum()  # type: ignore[no-untyped-call]
        return crc
    return hashlib.new(name) if name in ("md5", "sha256") else None


class Digests:
    """What a body's checksums must be: by name, in hexadecimal or base64; others are ignored."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._wanted: dict[str, bytes] = {}
        self._hashes: dict[str, _Hash] = {}
        for name, text in wanted.items():
            if (new := _new(name)) is not None:
                self._hashes[name] = new
                self._wanted[name] = _decoded(text, len(new.digest()))

    def update(self, data: bytes) -> None:
        """Take the next bytes in."""
        for one in self._hashes.values():
            one.update(data)

    def fault(self) -> str | None:
        """Which of them is not what it must be."""
        for name, wanted in self._wanted.items():
            if (found := self._hashes[name].digest()) != wanted:
                return f"its {name} is {found.hex()}, not {wanted.hex()}"
        return None


def fault_of(file: Path, wanted: Mapping[str, str]) -> str | None:
    """Which checksum of the file is not what it must be."""
    digests = Digests(wanted)
    with file.open("rb") as data:
        while block := data.read(1 << 22):
            digests.update(block)
    return digests.fault()


def announced(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums in Google's `x-goog-hash: crc32c=…,md5=…`, where they are of what is sent."""
    if headers.get("x-goog-stored-content-encoding", "identity") != "identity":
        return {}  # they are of the file as it is stored, which is not how it comes
    pairs = (part.strip().partition("=") for part in headers.get("x-goog-hash", "").split(","))
    found = {name: value for name, _, value in pairs}
    sizes = {"md5": 16, "crc32c": 4}
    return {n: found[n] for n in sizes if len(_bytes(found.get(n, ""))) == sizes[n] and _new(n)}


def _decoded(text: str, size: int) -> bytes:
    """Raises `GanctlError` when it is no checksum of so many bytes."""
    found = _bytes(text)
    if len(found) != size:
        raise GanctlError(f"not a checksum of {size} bytes: {text[:80]!r}")
    return found


def _bytes(text: str) -> bytes:
    """Of hexadecimal or base64; none of what is neither."""
    try:
        return bytes.fromhex(text) if _HEX.fullmatch(text) else base64.b64decode(text)
    except (ValueError, binascii.Error):
        return b""
