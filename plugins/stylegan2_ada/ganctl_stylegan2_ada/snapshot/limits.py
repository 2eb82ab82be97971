"""What reading one file may cost, whatever the file says about itself.

A snapshot of a 1024² network has some 50,000 opcodes, and holds each tensor once.
"""

from __future__ import annotations

MAX_FILE = 4 * 2**30
MAX_OPCODES = 400_000
MAX_MEMO = 100_000
MAX_STACK = 100_000
MAX_MARKS = 100
"""Containers open at a time."""
MAX_STRING = 2**20
MAX_TEXT = 64 * 2**20
"""Of all strings together; nor more than the file has."""
MAX_NAME = 256
MAX_INTEGER = 16
"""Bytes of a whole number."""
MAX_DIMENSIONS = 8
MAX_DEPTH = 32
"""Modules within modules, or lists within lists, in what is handed out."""
MAX_ITEMS = 10_000
"""Modules and their entries of one network, or arguments, in what is handed out."""
TENSOR_FACTOR = 2
"""Bytes of tensors for each byte of the file: a storage may be shared."""


class Refused(Exception):
    """The file is damaged, or no snapshot that is read here: one line says why."""


class Walk:
    """A way through the graph of values, which may share parts, or have cycles."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._left = MAX_ITEMS

    def step(self, depth: int) -> None:
        """At each value that is come to, as often as it is come to."""
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise Refused(f"{self._what} that are too many, too deep, or within themselves")


class Budget:
    """What is left to spend on one file, its nested pickles included."""

    def __init__(self, size: int) -> None:
        self._opcodes = MAX_OPCODES
        self._text = min(size, MAX_TEXT)
        self._tensors = TENSOR_FACTOR * size

    def opcode(self) -> None:
        self._opcodes -= 1
        if self._opcodes < 0:
            raise Refused(f"more than {MAX_OPCODES:,} pickle opcodes")

    def text(self, size: int) -> None:
        """Before decoding. A pickle that is loaded again is paid for again."""
        self._text -= size
        if self._text < 0:
            raise Refused("more text than the file can hold")

    def tensor(self, size: int) -> None:
        """Before allocating."""
        self._tensors -= size
        if self._tensors < 0:
            raise Refused(f"tensors of more than {TENSOR_FACTOR} times the file's size")
