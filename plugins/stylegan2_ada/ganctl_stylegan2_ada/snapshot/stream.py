"""Bytes that are there, read in order and never copied."""

from __future__ import annotations

from .limits import MAX_NAME, Refused


class Stream:
    """A place in the bytes of a file, or of a part of it."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.position

    def take(self, size: int) -> memoryview:
        """The next `size` bytes; raises `Refused` when there are fewer."""
        if size > self.left:
            raise Refused(f"ends early, {size - self.left:,} bytes short")
        start = self.position
        self.position += size
        return self._data[start : self.position]

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little", signed=True)

    def line(self) -> memoryview:
        """Up to the next newline, without it."""
        ahead = bytes(self._data[self.position : self.position + MAX_NAME + 1])
        end = ahead.find(b"\n")
        if end < 0:
            raise Refused(f"a name that does not end within {MAX_NAME} bytes")
        line = self.take(end)
        self.position += 1
        return line
