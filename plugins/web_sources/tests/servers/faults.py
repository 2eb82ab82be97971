"""What may go wrong on the way, and a script that says when it does."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .messages import Request, Response, html_response, redirect

DISCARD = -1
"""For `Drop(after=…)`: not even a status line."""


class Fault:
    """One thing that goes wrong. `instead` of an answer, or with the answer that there is."""

    instead = False
    """Whether the service is not asked at all: no code is spent, no token is given."""

    def prepare(self, request: Request) -> None:
        """Before the service sees the request."""

    def answer(self, request: Request) -> Response:
        """What to say, for faults that are `instead`."""
        raise NotImplementedError

    def change(self, request: Request, response: Response) -> Response:
        """What becomes of the answer."""
        return response


class _Instead(Fault):
    instead = True


@dataclass(frozen=True)
class Status(_Instead):
    """An error status, with `Retry-After` as it stands here: "2", "3600", a date, nonsense."""

    status: int
    retry_after: str | int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return Response(self.status, headers, self.body)


@dataclass(frozen=True)
class Html(_Instead):
    """A web page where something else was asked for, as captive portals and CDNs send it."""

    status: int = 200
    text: str = "<h1>Please sign in</h1>"

    def answer(self, request: Request) -> Response:
        return html_response(self.text, self.status)


@dataclass(frozen=True)
class Body(_Instead):
    """These bytes, whatever was asked for."""

    content: bytes
    content_type: str = "application/octet-stream"
    status: int = 200

    def answer(self, request: Request) -> Response:
        return Response(self.status, {"Content-Type": self.content_type}, self.content)


@dataclass(frozen=True)
class Redirect(_Instead):
    """To another address, such as http://10.0.0.1/ or another server's."""

    to: str
    status: int = 302

    def answer(self, request: Request) -> Response:
        return redirect(self.to, self.status)


@dataclass(frozen=True)
class Loop(_Instead):
    """To where the request went."""

    status: int = 302

    def answer(self, request: Request) -> Response:
        return redirect(request.target, self.status)


@dataclass(frozen=True)
class Delay(Fault):
    """Seconds before the first byte; the server answers well then. `Delay(3600)` hangs."""

    seconds: float

    def change(self, request: Request, response: Response) -> Response:
        return response.having(wait=response.wait + self.seconds)


@dataclass(frozen=True)
class Drop(Fault):
    """The connection closes: before the status line, or after so many bytes of the body."""

    after: int = DISCARD
    reset: bool = False

    def change(self, request: Request, response: Response) -> Response:
        return response.having(drop_after=self.after, reset=self.reset)


@dataclass(frozen=True)
class Drip(Fault):
    """The body comes a few bytes at a time."""

    bytes: int = 1
    seconds: float = 0.1

    def change(self, request: Request, response: Response) -> Response:
        return response.having(drip=(self.bytes, self.seconds))


@dataclass(frozen=True)
class Length(Fault):
    """Content-Length is off by so many bytes; the connection closes after the body."""

    by: int = 100

    def change(self, request: Request, response: Response) -> Response:
        return response.having(length=max(0, len(response.body) + self.by))


@dataclass(frozen=True)
class Chunked(Fault):
    """No Content-Length: the body comes in chunks."""

    def change(self, request: Request, response: Response) -> Response:
        return response.having(chunked=True)


@dataclass(frozen=True)
class Gzip(Fault):
    """The body is compressed, for clients that said they can read it."""

    def change(self, request: Request, response: Response) -> Response:
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return response
        return response.having(body=gzip.compress(response.body)).with_headers(
            {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        )


@dataclass(frozen=True)
class Truncate(Fault):
    """Only that share of the body, with a Content-Length that agrees: HTTP cannot tell."""

    keep: float = 0.5

    def change(self, request: Request, response: Response) -> Response:
        return response.having(body=response.body[: int(len(response.body) * self.keep)])


@dataclass(frozen=True)
class BitFlip(Fault):
    """One bit of the body is the other way, at that share of its length."""

    at: float = 0.5
    bit: int = 0

    def change(self, request: Request, response: Response) -> Response:
        body = bytearray(response.body)
        if body:
            body[min(int(len(body) * self.at), len(body) - 1)] ^= 1 << self.bit
        return response.having(body=bytes(body))


@dataclass(frozen=True)
class Set(Fault):
    """Headers of the answer added, replaced, or (None) left out."""

    headers: Mapping[str, str | None]

    def change(self, request: Request, response: Response) -> Response:
        return response.with_headers(self.headers)


@dataclass(frozen=True)
class Ignore(Fault):
    """The service does not see that header of the request: `Ignore("Range")`."""

    header: str

    def prepare(self, request: Request) -> None:
        request.headers.pop(self.header.lower(), None)


@dataclass(frozen=True)
class Call(Fault):
    """Something happens just before the service answers: a token dies, an object changes."""

    function: Callable[[], object]

    def prepare(self, request: Request) -> None:
        self.function()


@dataclass
class Rule:
    """A fault, and the requests that it is for."""

    fault: Fault
    path: str = "*"
    server: str | None = None
    method: str | None = None
    requests: Collection[int] | Callable[[int], bool] | None = None
    seen: int = 0
    """Requests like that up to now."""
    hits: int = 0
    """Those of them that the fault struck."""

    def strikes(self, request: Request) -> bool:
        if not fnmatchcase(request.path, self.path):
            return False
        if self.server not in (None, request.server) or self.method not in (None, request.method):
            return False
        self.seen += 1
        chosen = self.requests
        if chosen is None:
            struck = True
        elif callable(chosen):
            struck = chosen(self.seen)
        else:
            struck = self.seen in chosen
        self.hits += struck
        return struck


class Script:
    """Which faults strike which requests. Empty, everything goes well."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def on(
        self,
        path: str,
        fault: Fault,
        *,
        server: str | None = None,
        method: str | None = None,
        requests: Collection[int] | Callable[[int], bool] | None = None,
        times: int | None = None,
    ) -> Rule:
        """Let the fault strike requests with such a path (`*` and `?` as in the shell).

        `requests`: the first like it is 1: `{2, 3}`, `range(5, 100)`, `lambda n: n % 10 == 0`;
        `times=3`: the first three; neither: all of them. Where several rules strike one
        request, all their faults do, those added first at first; of faults that answer
        instead of the service, the first.
        """
        chosen = range(1, times + 1) if times is not None else requests
        rule = Rule(fault, path, server, method, chosen)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Everything goes well from now on."""
        with self._lock:
            self._rules.clear()

    def answer(self, request: Request, service: Callable[[Request], Response]) -> Response:
        """What the service, or a fault, or both, make of a request."""
        with self._lock:
            faults = [rule.fault for rule in self._rules if rule.strikes(request)]
        for fault in faults:
            fault.prepare(request)
        instead = next((fault for fault in faults if fault.instead), None)
        dropped = any(isinstance(f, Drop) and f.after == DISCARD for f in faults)
        if instead is not None:
            response = instead.answer(request)
        else:
            response = Response() if dropped else service(request)
        for fault in faults:
            response = fault.change(request, response)
        return response
