"""What unpickled things become here: records that do nothing.

Beside these there are None, bool, int, float, str, tuple, list, dict and set, memoryviews for
bytes, and tensors. They compare by identity: the graph they make may have cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from .limits import Refused

Dict = dict[Any, Any]


@dataclass(eq=False, slots=True)
class Global:
    """A name that is allowed to occur. Nothing is imported for it."""

    name: str


@dataclass(eq=False, slots=True)
class Object:
    """An instance of a class that does not exist here; no state: not yet built."""

    type_name: str
    state: Dict | None = None


@dataclass(eq=False, slots=True)
class Storage:
    """The raw numbers of a tensor; no data: declared, and not yet seen."""

    type_name: str
    numel: int
    data: memoryview | None = None


@dataclass(eq=False, slots=True)
class Dtype:
    """A NumPy type of numbers."""

    numpy: np.dtype[Any]


@dataclass(eq=False, slots=True)
class Array:
    """A NumPy array, as a tensor; no tensor: not yet built."""

    tensor: Tensor | None = None


def kind(value: object) -> str:
    """What to call it in an error."""
    if isinstance(value, Global):
        return value.name
    if isinstance(value, Object):
        return f"an object of {shown(value.type_name)}"
    if isinstance(value, memoryview):
        return "bytes"
    return "None" if value is None else type(value).__name__


def shown(text: str) -> str:
    """A string of the file's, fit for one line of an error."""
    plain = text if text.isascii() and text.isprintable() else ascii(text)
    return plain if len(plain) <= 100 else plain[:97] + "..."


def whole(value: object, what: str) -> int:
    """A number that counts something: neither negative nor a bool."""
    if type(value) is not int or value < 0:
        raise Refused(f"{what} is no whole number")
    return value


def wholes(value: object, what: str) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        raise Refused(f"{what} is no tuple")
    return tuple(whole(each, what) for each in value)
