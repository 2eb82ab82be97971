"""What a server is asked, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl


class Headers(dict[str, str]):
    """Headers of a request by their names in lower case; `get` and `in` take any case."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())


@dataclass
class Request:
    """One request as it arrived, and what became of it."""

    server: str
    """Which of a service's servers was asked: "api", "accounts", "images", …"""
    method: str
    target: str
    """Path and query as they were sent."""
    headers: Headers
    body: bytes = b""
    client: str = ""
    secure: bool = False
    number: int = 0
    """1 for the first request that the journal saw."""
    time: float = 0.0
    """When it arrived, in seconds of `time.monotonic()`."""
    status: int | None = None
    """What was answered; None as long as nothing was, or the connection was dropped before."""
    sent: int = 0
    """Bytes of the body that went out."""
    done: float | None = None
    """When the last of the answer went out; None before, and when it broke off."""

    over: float | None = None
    """When the server was through with it, one way or the other."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """The body as a web form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"null")

    def __str__(self) -> str:
        return f"{self.number}: {self.method} {self.server}{self.target} → {self.status}"


@dataclass
class Response:
    """An answer, and how it goes over the wire."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    wait: float = 0.0
    """Seconds before the first byte."""
    drop_after: int | None = None
    """Close the connection after so many bytes of the body; -1: before the status line."""
    reset: bool = False
    """With `drop_after`: a TCP reset where there would be an orderly close."""
    drip: tuple[int, float] | None = None
    """Bytes at a time, and the seconds between them."""
    length: int | None = None
    """The Content-Length to claim, where it is not the true one."""
    chunked: bool = False
    """Transfer-Encoding: chunked, and no Content-Length."""

    def having(self, **changes: Any) -> Response:
        return replace(self, **changes)

    def with_headers(self, headers: Mapping[str, str | None]) -> Response:
        """These headers added or replaced; those that are None taken out."""
        names = {name.lower() for name in headers}
        kept = {name: text for name, text in self.headers.items() if name.lower() not in names}
        added = {name: text for name, text in headers.items() if text is not None}
        return replace(self, headers=kept | added)


Answer = Callable[[Request], Response]


def json_response(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    body = json.dumps(content, ensure_ascii=False).encode()
    return Response(
        status, {"Content-Type": "application/json; charset=utf-8"} | dict(headers or {}), body
    )


def html_response(text: str, status: int = 200) -> Response:
    page = f"<!DOCTYPE html>\n<html><head><title>{status}</title></head><body>{text}</body></html>"
    return Response(status, {"Content-Type": "text/html; charset=utf-8"}, page.encode())


def redirect(to: str, status: int = 302) -> Response:
    return html_response("see there", status).with_headers({"Location": to})


def file_response(
    request: Request,
    content: bytes,
    content_type: str,
    etag: str,
    modified: float = 1_700_000_000,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A file as object stores serve it: one byte range, If-Range, and If-None-Match."""
    last_modified = formatdate(modified, usegmt=True)
    common = {
        "Content-Type": content_type,
        "Accept-Ranges": "bytes",
        "ETag": f'"{etag}"',
        "Last-Modified": last_modified,
    } | dict(headers or {})
    if request.headers.get("If-None-Match") == common["ETag"]:
        return Response(304, common)
    span = _span(request.headers.get("Range"), len(content))
    condition = request.headers.get("If-Range")
    if span is None or (condition and condition not in (common["ETag"], last_modified)):
        return Response(200, common, content)
    start, stop = span
    if start >= len(content):
        unsatisfiable = {"Content-Range": f"bytes */{len(content)}"}
        return html_response("the range is beyond the end", 416).with_headers(unsatisfiable)
    part = common | {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return Response(206, part, content[start:stop])


def _span(text: str | None, length: int) -> tuple[int, int] | None:
    """Start and stop of `bytes=…`; None where there is none, or none that is understood."""
    unit, _, span = (text or "").partition("=")
    first, dash, last = span.partition("-")
    if unit != "bytes" or not dash or "," in span or not (first + last).isdecimal():
        return None
    if not first:
        return max(0, length - int(last)), length
    stop = min(int(last) + 1, length) if last else length
    return (int(first), stop) if stop > int(first) or int(first) >= length else None
