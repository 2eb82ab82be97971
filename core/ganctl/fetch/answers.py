"""What servers answer, and what becomes of a question that is not answered well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import GanctlError
from ..web import Unreachable

if TYPE_CHECKING:
    import httpx2


class Refused(Unreachable):
    """The server answered, and would answer the same again: 401, 403, 404 …"""

    def __init__(self, message: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body
        """Its first 64 kB; not for messages: who knows what it repeats."""


class TooLarge(Unreachable):
    """What comes has more bytes than the request allows."""


class Down(Unreachable):
    """Nothing was asked: the service has failed too often, or is not trusted."""


class Later(GanctlError):
    """The server asks to be left alone for longer than a fetch waits."""


@dataclass(frozen=True)
class Response:
    """An answer: `url` is where redirects ended, header names are in lower case."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes


class Transient(Exception):
    """What another attempt may mend; `wait` is what the server asks for, in seconds, and `gained`
    the bytes that came for the first time."""

    def __init__(
        self, why: str, wait: float | None = None, gained: int = 0, service: str = ""
    ) -> None:
        super().__init__(why)
        self.wait = wait
        self.gained = gained
        self.service = service
        """Whose fault it is, where redirects led to another."""


def headers_of(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def length_of(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() and "content-encoding" not in headers else None


def range_of(text: str) -> tuple[int | None, int | None]:
    """Begin and total of a `Content-Range`."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", text.strip())
    if found is None:
        return None, None
    begin, total = found.groups()
    return None if begin is None else int(begin), int(total)
