"""The pickles that CIFAR comes in, read as data: nothing that they name is ever called.

A pickle is a program. This one may build texts, numbers, lists and dicts, and name the few things
that numpy writes about an array. Each of those becomes a note of what was named and with which
arguments, and the array is made here from the notes, once its shape and bytes agree.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganctl import UserError

MAX_BYTES = 512 * 2**20
"""Of a batch file: CIFAR-100's largest has 155 MB."""

MAX_STEPS = 4_000_000
MAX_TUPLES = 1000
"""Steps of the program; CIFAR-100's takes some 250,000. Tuples are few: nested by the million
they would overflow the interpreter's stack."""

STEPS = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
        *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
        *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2"),
        *("LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    }
)
"""What data need; not FROZENSET, NEWOBJ, INST, EXT1, PERSID and the others."""

ADDING = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"})
"""Steps that leave on the stack what they add to."""

TEXTS = frozenset(
    {
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    }
)
"""Steps that make the key of a dict. To look up others can take for ever: the hash of tuples
that hold one tuple twice, sixty deep, or numbers by the million that share one hash."""

NAMES = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    | {
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
    }
)
"""What numpy 1 and 2 name, under Python 2 and 3, to say how an array is made."""


class Note:
    """Something that a pickle names, or the result of calling it: only written down."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.name, self.arguments = name, arguments
        self.state: Any = None

    def __call__(self, *arguments: Any) -> Note:
        if self.arguments is not None:
            raise pickle.UnpicklingError("it calls what is no function")
        return Note(self.name, arguments)

    def __setstate__(self, state: Any) -> None:
        if self.arguments is None or self.state is not None:
            raise pickle.UnpicklingError("it sets what is not its own")
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Note:
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no such file needs")
        return Note(name)

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of it")


@dataclass(frozen=True)
class Batch:
    """What a batch file or a file of label names holds: its top dict."""

    file: Path
    content: dict[Any, Any]

    def whole_numbers(self, key: str) -> list[int] | None:
        return self._list(key, int, "whole numbers")

    def texts(self, key: str) -> list[str] | None:
        return self._list(key, str, "names")

    def pixels(self, key: str) -> np.ndarray[Any, Any]:
        """(N, columns) uint8. Raises `UserError` when there is no such array."""
        try:
            array = _array(self.content.get(key))
        except (ValueError, TypeError, AttributeError, UnicodeEncodeError) as error:
            raise UserError(f"{self.file}: {key!r} is no array of bytes ({error})") from None
        if array.ndim != 2:
            raise UserError(f"{self.file}: {key!r} has shape {array.shape}: wanted rows of pixels")
        return array

    def _list(self, key: str, kind: type[Any], what: str) -> list[Any] | None:
        found = self.content.get(key)
        if found is None:
            return None
        if not isinstance(found, list) or not all(type(value) is kind for value in found):
            raise UserError(f"{self.file}: {key!r} is not a list of {what}")
        return found


def read_batch(file: Path) -> Batch:
    """Raises `UserError` when the file is damaged or more than the data of a batch."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UserError(f"{file}: over {MAX_BYTES >> 20} MB: no CIFAR batch")
        data = file.read_bytes()
        _inspect(data)
        content = _Reader(io.BytesIO(data), encoding="latin1").load()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    except UserError:
        raise
    except Exception as error:  # the unpickler raises nearly everything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{file}: not a CIFAR batch, or damaged: {reason}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: not a CIFAR batch: it holds no dict")
    named = {_text(key): value for key, value in content.items()}
    return Batch(file, named)


def _inspect(data: bytes) -> None:
    """Raise ValueError for a program with steps that data do not need, before it runs."""
    stack = _Stack()
    tuples = 0
    for count, (step, argument, _) in enumerate(pickletools.genops(data)):
        if step.name not in STEPS:
            raise ValueError(f"it takes the step {step.name}, which no such file needs")
        # Numbers in the memo rise by one; room is made for as many as the largest says.
        if isinstance(argument, int) and step.name.endswith("PUT") and argument > count:
            raise ValueError("it asks for memory that it does not fill")
        tuples += "TUPLE" in step.name
        if count > MAX_STEPS or tuples > MAX_TUPLES:
            raise ValueError("it is too long")
        stack.take(step, argument)


class _Stack:
    """What the steps of a pickle leave on its stack: of each thing the step that made it."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.marks: list[int] = []
        self.memo: dict[Any, str] = {}

    def take(self, step: pickletools.OpcodeInfo, argument: Any) -> None:
        """Raises ValueError where there is too little on the stack, or a key is no text."""
        name = step.name
        if name == "MARK":
            self.marks.append(len(self.made))
        elif name == "MEMOIZE" or name.endswith("PUT"):
            (top,) = self.made[-1:]
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = top
        elif name.endswith("GET"):
            self.made.append(self.memo.get(argument, ""))
        else:
            popped = self._pop(step)
            if name in ("DICT", "SETITEM", "SETITEMS"):
                keys = popped[name != "DICT" :: 2]  # the dict itself comes first
                if not TEXTS.issuperset(keys):
                    raise ValueError("the key of a dict is no text")
            if name in ADDING:
                self.made.append(popped[0])
            elif step.stack_after:
                self.made.append(name)

    def _pop(self, step: pickletools.OpcodeInfo) -> list[str]:
        wanted = len(step.stack_before)
        start = len(self.made)
        if pickletools.markobject in step.stack_before:
            wanted -= 2  # the mark, and all that is above it
            if not self.marks:
                raise ValueError("it goes back to a mark that is not there")
            start = self.marks.pop()
        start -= wanted
        if not 0 <= start <= len(self.made):
            raise ValueError("it takes more than there is")
        popped = self.made[start:]
        del self.made[start:]
        return popped


def _array(note: Any) -> np.ndarray[Any, Any]:
    """The array of unsigned bytes that notes describe."""
    if not isinstance(note, Note) or not note.arguments:
        raise ValueError("it is none")
    if note.name == "_reconstruct":
        _, shape, kind, by_columns, payload = note.state
        order = "F" if by_columns else "C"
    elif note.name == "_frombuffer":
        payload, kind, shape, order = note.arguments
    else:
        raise ValueError("it is none")
    if not isinstance(kind, Note) or kind.name != "dtype" or kind.arguments is None:
        raise ValueError("it has no type")
    if kind.arguments[0] not in ("u1", "|u1", "uint8"):
        raise ValueError("its type is not uint8")
    # Of numbers without bounds, or without end, the product would take for ever.
    if len(shape) > 4 or not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
        raise ValueError("its shape is none")
    payload = _bytes(payload)
    if len(payload) != math.prod(shape):
        raise ValueError(f"{len(payload)} bytes")
    array: Any = np.frombuffer(payload, np.uint8)
    return np.asarray(array.reshape(shape, order=order))


def _bytes(payload: Any) -> bytes:
    """Python 2 wrote a str; Python 3 in protocol 2 writes a text and how to encode it."""
    if isinstance(payload, Note) and payload.name == "encode" and payload.arguments:
        payload = payload.arguments[0]
    if isinstance(payload, str):
        return payload.encode("latin1")
    if isinstance(payload, bytes | bytearray):
        return bytes(payload)
    raise ValueError("no bytes")


def _text(key: Any) -> Any:
    return key.decode("latin1") if isinstance(key, bytes) else key
