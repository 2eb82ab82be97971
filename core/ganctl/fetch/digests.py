"""Checksums that servers name: md5 and sha256 of the standard library, and CRC-32C in NumPy."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import GanctlError

_POLYNOMIAL = 0x82F63B78
_HEX = re.compile("(?:[0-9a-fA-F]{2}){4}|[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")
_LANE = 256
"""Bytes that each lane of a vectorised CRC goes through."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc32c:
    """The Castagnoli CRC, as hashlib's objects are: some 100 MB/s."""

    def __init__(self) -> None:
        self._crc = 0xFFFFFFFF

    def update(self, data: bytes, /) -> None:
        table = _table()
        lanes = len(data) // _LANE
        if lanes >= 16:
            block = np.frombuffer(data, np.uint8, lanes * _LANE).reshape(lanes, _LANE)
            states = np.zeros(lanes, np.uint32)
            for column in np.ascontiguousarray(block.T):
                states = table[(states ^ column) & 0xFF] ^ (states >> np.uint32(8))
            self._crc = _shift(self._crc, lanes * _LANE) ^ _joined(states)
            data = data[lanes * _LANE :]
        crc = self._crc
        for byte in data:
            crc = int(table[(crc ^ byte) & 0xFF]) ^ (crc >> 8)
        self._crc = crc

    def digest(self) -> bytes:
        return (self._crc ^ 0xFFFFFFFF).to_bytes(4, "big")


def _joined(states: np.ndarray[Any, np.dtype[np.uint32]]) -> int:
    """The state after all lanes one after the other, from each lane's own, begun at 0."""
    length = _LANE
    while len(states) > 1:
        if len(states) % 2:  # zeros in front change nothing
            states = np.concatenate([np.zeros(1, np.uint32), states])
        states = _shifted(states[0::2], length) ^ states[1::2]
        length *= 2
    return int(states[0])


def _shifted(
    states: np.ndarray[Any, np.dtype[np.uint32]], length: int
) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """The states after so many zero bytes more: linear, so bit by bit."""
    moved = np.zeros_like(states)
    for bit, image in enumerate(_zeros(length)):
        moved ^= np.where((states >> np.uint32(bit)) & np.uint32(1), np.uint32(image), 0).astype(
            np.uint32
        )
    return moved


def _shift(state: int, length: int) -> int:
    images = _zeros(length)
    moved = 0
    for bit in range(32):
        moved ^= images[bit] if state >> bit & 1 else 0
    return moved


@lru_cache(maxsize=256)
def _zeros(length: int) -> tuple[int, ...]:
    """Where each bit of a state goes by `length` zero bytes."""
    if length == 0:
        return tuple(1 << bit for bit in range(32))
    if length == 1:
        table = _table()
        return tuple(int(table[(1 << bit) & 0xFF]) ^ (1 << bit >> 8) for bit in range(32))
    half = _zeros(length // 2)
    twice = tuple(_apply(half, image) for image in half)
    return tuple(_apply(_zeros(1), image) for image in twice) if length % 2 else twice


def _apply(matrix: tuple[int, ...], state: int) -> int:
    moved = 0
    for bit in range(32):
        moved ^= matrix[bit] if state >> bit & 1 else 0
    return moved


@lru_cache(maxsize=1)
def _table() -> np.ndarray[Any, np.dtype[np.uint32]]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


_KINDS: dict[str, Any] = {"md5": hashlib.md5, "sha256": hashlib.sha256, "crc32c": Crc32c}


class Digests:
    """What a body's checksums must be: by name, in hexadecimal or base64; others are ignored."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._wanted: dict[str, bytes] = {}
        self._hashes: dict[str, _Hash] = {}
        for name, text in wanted.items():
            if name in _KINDS:
                self._hashes[name] = _KINDS[name]()
                self._wanted[name] = _decoded(text, len(self._hashes[name].digest()))

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
    return {name: found[name] for name in ("md5", "crc32c") if _bytes(found.get(name, ""))}


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
