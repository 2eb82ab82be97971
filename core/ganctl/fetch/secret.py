"""Tokens and passwords: texts that show themselves to nobody but who asks for them by name."""

from __future__ import annotations

from typing import NoReturn

SHOWN = "[secret]"

_known: set[str] = set()


class Secret:
    """A text that is not printed: `reveal` gives it, everything else gives `[secret]`.

    Every value is also remembered by `redacted`, which takes it out of texts that others wrote.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= 4:  # a shorter one would be found in every other word
            _known.add(value)

    def reveal(self) -> str:
        """The text itself, to be sent and not to be kept."""
        return self._value

    def within(self, template: str) -> Secret:
        """A secret text around this one: `token.within("Bearer {}")`."""
        return Secret(template.format(self._value))

    def __str__(self) -> str:
        return SHOWN

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, how: str) -> str:
        return SHOWN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def revealed(value: str | Secret) -> str:
    """The text of either."""
    return value.reveal() if isinstance(value, Secret) else value


def redacted(text: str) -> str:
    """`text` without any secret that this process knows, and in one line."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, SHOWN)
    return " ".join(text.split())
