"""The arguments that a network was made with: each is understood, or refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganctl import UserError

_ABSENT: Any = object()


class Arguments:
    """Arguments are taken one by one; those that are left at the end are refused.

    `where` begins every error, a `UserError`.
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._left = dict(values)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def whole(self, name: str, default: Any, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._left.pop(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self._refusal(name, value, f"a number from {low} to {high:,}")
        return value

    def limit(self, name: str, default: float | None) -> float | None:
        """A number over 0, or None."""
        value = self._left.pop(name, default)
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self._refusal(name, value, "a number over 0")
        return float(value)

    def choice(self, name: str, default: str, *others: str) -> str:
        """One of some words."""
        value = self._left.pop(name, default)
        if value not in (default, *others):
            raise self._refusal(name, value, ", ".join(sorted((default, *others))))
        return str(value)

    def only(self, name: str, *values: Any) -> None:
        """If it is there, it has one of these values: what is computed follows from it."""
        value = self._left.pop(name, _ABSENT)
        if value is not _ABSENT and not any(_same(value, each) for each in values):
            raise self._refusal(name, value, " or ".join(map(str, values)))

    def ignore(self, *names: str) -> None:
        """What says nothing about the images: how training went, how fast it is computed."""
        for name in names:
            self._left.pop(name, None)

    def within(self, name: str) -> Arguments:
        """The arguments of a part of the network."""
        values = self._left.pop(name, None) or {}
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise self._refusal(name, values, "arguments by name")
        return Arguments(f"{self.where}: {name}", values)

    def end(self) -> None:
        """Refuse what is left."""
        for name, value in self._left.items():
            raise UserError(f"{self.where}: {_shown(name)}={_shown(value)} is not known here")

    def _refusal(self, name: str, value: Any, wanted: str) -> UserError:
        return UserError(
            f"{self.where}: {name}={_shown(value)} is not supported, which is to be {wanted}"
        )


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return list(value) == list(other)
    return type(value) is type(other) and bool(value == other)


def _shown(value: Any) -> str:
    """Something of the file's, fit for one line."""
    text = ascii(value).strip("'")
    return text if len(text) <= 60 else text[:57] + "..."
