"""Questions to servers: paced, retried, limited, and secrets for their own host alone."""

from __future__ import annotations

import http.cookiejar
import json
import logging
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

from .. import __version__
from ..errors import GanctlError, UserError
from ..files import sync_folder, write_atomically
from ..web import Unreachable, is_loopback
from .addresses import Addresses, host_of, origin, service_of, shown
from .answers import (
    Down,
    Later,
    Refused,
    Response,
    TooLarge,
    Transient,
    headers_of,
    length_of,
    range_of,
)
from .digests import Digests, announced, fault_of
from .pacing import Pacer, Patience, Stopped, jitter, retry_after
from .secret import Secret, redacted, revealed
from .source import Request, Withheld

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

AGENT = f"ganctl/{__version__} (https://pypi.org/project/ganctl/)"
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
FOR_ANYBODY = frozenset({"accept", "accept-encoding", "user-agent", "range", "if-range"})
"""Headers that a redirect to another host takes along."""
PROGRESS = 2**20
"""Bytes that an attempt must have brought for the next to count as the first."""
FILES = "files"
"""Folder of downloaded files within the fetch's own; it goes when everything is fetched."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class Web:
    """What sources ask servers with; from several threads at once.

    All of its methods raise `Refused` for answers such as 404, `Unreachable` when the attempts
    are used up, `Later` when the server asks for a long pause, and `Stopped` when the fetch
    ends; a source lets the last two pass.
    """

    def __init__(
        self, folder: Path | None = None, patience: Patience | None = None, connections: int = 8
    ) -> None:
        """`folder` is where files go. Raises `UserError` when httpx2 is not installed."""
        try:
            import httpx2
        except ImportError:
            raise UserError(
                "pictures from the web need the package httpx2: pip install httpx2"
            ) from None
        for name in ("httpx2", "httpcore2"):  # they log headers and queries
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.patience = patience or Patience()
        self.stop = threading.Event()
        self.receiving: tuple[int, int | None] | None = None
        """Bytes that a file has by now and is to have, while one is downloaded."""
        self._folder = folder
        self._pacer = Pacer(self.stop)
        self._addresses = Addresses()
        self._down: dict[str, str] = {}
        self._later: dict[str, str] = {}
        self._given_up: dict[str, int] = {}
        no_cookies = http.cookiejar.CookieJar(
            http.cookiejar.DefaultCookiePolicy(allowed_domains=())
        )
        read = self.patience.read
        try:
            self._client = httpx2.Client(
                headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
                timeout=httpx2.Timeout(read, connect=self.patience.connect, pool=None),
                limits=httpx2.Limits(
                    max_connections=connections + 2, max_keepalive_connections=connections + 2
                ),
                cookies=no_cookies,
            )
        except (OSError, ValueError) as error:  # SSL_CERT_FILE, proxies
            named = os.environ.get("SSL_CERT_FILE")
            hint = f" (SSL_CERT_FILE is {named})" if named else ""
            raise UserError(f"cannot set up the network: {redacted(str(error))}{hint}") from None

    def close(self) -> None:
        """Close every connection, those in use as well."""
        self._client.close()

    def rest(self, seconds: float) -> None:
        """Wait so long. Raises `Stopped` when the fetch ends meanwhile."""
        self._pacer.rest(seconds)

    def send(self, request: Request) -> Response:
        """The answer, whole and in memory, with its checksums checked."""

        def attempt() -> Response:
            with self._asked(request) as (url, response):
                headers = headers_of(response)
                digests = Digests({**announced(headers), **request.digests})
                blocks = []
                for block in self._body(response, request.limit):
                    digests.update(block)
                    blocks.append(block)
                if fault := digests.fault():
                    raise Transient(fault)
                return Response(response.status_code, url, headers, b"".join(blocks))

        return self._patiently(request, attempt)

    def json(self, request: Request) -> Any:
        """What the answer says as JSON. Raises `Unreachable` for what is none."""
        headers = {"Accept": "application/json", **request.headers}
        response = self.send(replace(request, headers=headers))
        try:
            return json.loads(response.body)
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "something").partition(";")[0]
            raise Unreachable(
                f"{shown(request.url)}: answered {redacted(kind)!r}, which is not JSON"
            ) from None

    def file(self, request: Request, name: str) -> Path:
        """The answer as a file of that name in the fetch's folder, downloaded once.

        What was cut off is continued, if the server still has the same. A page in HTML is not
        taken for it. `limit` and `digests` are the request's. The file goes when all pictures are
        fetched. Raises `UserError` for a name that is none.
        """
        if self._folder is None or not NAME.fullmatch(name):
            raise UserError(f"not a name for a downloaded file: {name!r}")
        target = self._folder / FILES / name
        if not target.exists():
            with _disk(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = _Partial(target)
                self._patiently(request, lambda: partial.take(self, request))
        return target

    def _patiently(self, request: Request, attempt: Callable[[], T]) -> T:
        """What the attempt gives, tried again as long as that may help."""
        host = service_of(request.url)
        left = self.patience.attempts
        for number in count(1):
            self._refuse_in_vain(request.url)
            self._pacer.wait(host, request.every)
            try:
                try:
                    result = attempt()
                finally:
                    if request.strict:
                        self._pacer.hold(host, request.every)
            except Transient as fault:
                left = self.patience.attempts if fault.gained >= PROGRESS else left - 1
                if fault.wait:
                    self._hold(fault.service or host, fault.wait)
                if left <= 0:
                    self._give_up(fault.service or host, str(fault))
                    raise Unreachable(
                        f"{shown(request.url)}: {redacted(str(fault))} "
                        f"({self.patience.attempts} attempts)"
                    ) from None
                wait = jitter(number, self.patience.first_wait, self.patience.longest_wait)
                self._pacer.rest(wait)
            else:
                return result
        raise AssertionError("count() does not end")

    def _refuse_in_vain(self, url: str) -> None:
        """Raise where this service is known to be down, or wants to be left alone for long."""
        service = service_of(url)
        if later := self._later.get(service):
            raise Later(later)
        if reason := self._down.get(service):
            raise Down(f"{shown(url)}: {reason}")

    def _hold(self, host: str, seconds: float) -> None:
        """Leave the host alone as it asks. Raises `Later` if that is for long."""
        if seconds <= self.patience.told_wait:
            self._pacer.hold(host, seconds)
            return
        span = str(timedelta(seconds=round(min(seconds, 1e8))))
        when = datetime.now().astimezone() + timedelta(seconds=min(seconds, 1e8))
        self._later[host] = (
            f"{host} asks to be left alone for {span} (h:mm:ss): come back after "
            f"{when:%Y-%m-%d %H:%M %Z}; what is fetched is kept, and the same command goes on"
        )
        raise Later(self._later[host])

    def _give_up(self, host: str, why: str) -> None:
        self._given_up[host] = self._given_up.get(host, 0) + 1
        if self._given_up[host] >= self.patience.hopeless:
            self._down[host] = f"not asked, as {host} failed before: {redacted(why)}"

    @contextmanager
    def _asked(
        self,
        request: Request,
        extra: Mapping[str, str] | None = None,
        also: frozenset[int] = frozenset(),
    ) -> Iterator[tuple[str, httpx2.Response]]:
        """Within: a good answer whose body is not read yet, and where it came from.

        `also` are statuses that are good beside 2xx. Raises `Refused`, `Unreachable`, `Transient`.
        """
        url, response = self._follow(request, dict(extra or {}))
        with _transport(self, url):
            try:
                status = response.status_code
                if status in RETRIED:
                    wait = retry_after(response.headers.get("retry-after"))
                    raise Transient(f"it answered {status}", wait, service=service_of(url))
                self._given_up.pop(service_of(url), None)
                if not (200 <= status < 300 or status in also):
                    body = b"".join(self._body(response, 1 << 16, cut=True))
                    raise Refused(
                        f"{shown(url)}: it answered {status}", status, headers_of(response), body
                    )
                yield url, response
            finally:
                response.close()

    def _follow(self, request: Request, extra: dict[str, str]) -> tuple[str, httpx2.Response]:
        """The first answer that is no redirect; its body is not read yet."""
        url, method = request.url, request.method
        base = request.url if request.base is None else request.base
        headers = {name: revealed(value) for name, value in request.headers.items()} | extra
        content: dict[str, Any] = {"params": dict(request.params) or None}
        if request.form is not None:
            content["data"] = {name: revealed(value) for name, value in request.form.items()}
        if request.json is not None:
            content["json"] = request.json
        self._refuse_in_the_clear(request)
        for _ in range(self.patience.redirects + 1):
            if fault := self._addresses.fault(url, base):
                raise Unreachable(f"{shown(url)}: {fault}")
            self._refuse_in_vain(url)
            with _transport(self, url):
                asked = self._client.build_request(method, url, headers=headers, **content)
                response = self._client.send(asked, stream=True, follow_redirects=False)
            if request.admit is not None and response.status_code < 400:
                try:
                    request.admit(response.headers.multi_items())
                except Withheld:
                    response.close()
                    raise
            if response.status_code not in REDIRECTS or "location" not in response.headers:
                return url, response
            response.close()
            before, url = url, _target(str(asked.url), response.headers["location"])
            if origin(before)[0] == "https" and not url.startswith("https:"):
                raise Unreachable(f"{shown(before)}: redirects from https to {shown(url)}")
            if response.status_code in (301, 302, 303):
                method = "HEAD" if method == "HEAD" else "GET"
                content = {}
            elif origin(before) != origin(url) and content.keys() & {"data", "json"}:
                raise Unreachable(f"{shown(before)}: redirects what was sent to {shown(url)}")
            content.pop("params", None)
            if origin(before) != origin(url):
                headers = {k: v for k, v in headers.items() if k.lower() in FOR_ANYBODY}
        raise Unreachable(f"{shown(request.url)}: more than {self.patience.redirects} redirects")

    def _refuse_in_the_clear(self, request: Request) -> None:
        values = [*request.headers.values(), *(request.form or {}).values()]
        if not any(isinstance(value, Secret) for value in values):
            return
        if not request.url.startswith("https:") and not is_loopback(host_of(request.url)):
            raise Unreachable(f"{shown(request.url)}: secrets are sent over https alone")

    def _body(
        self, response: httpx2.Response, limit: int, *, cut: bool = False, per: int = 0
    ) -> Generator[bytes]:
        """The body in blocks: in time, and of at most `limit` bytes; with `cut`, so many of it.

        `per`: the time is for so many bytes rather than for all.
        """
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit and not cut:
            raise TooLarge(f"{int(length):,} bytes, more than the {limit:,} that it may have")
        until, seen, stage = time.monotonic() + self.patience.whole, 0, per
        for block in response.iter_bytes():
            seen += len(block)
            if seen > limit:
                if cut:
                    return
                raise TooLarge(f"more than the {limit:,} bytes that it may have")
            yield block
            if per and seen >= stage:
                until, stage = time.monotonic() + self.patience.whole, seen + per
            if time.monotonic() > until:
                raise Transient(f"{seen:,} bytes in {self.patience.whole:g} s: too slow")


class _Partial:
    """A file that is being downloaded, and of what it is a part."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.most = 0
        """Bytes that it had at the most: what comes once more is not gained."""
        self.part = target.with_name(f".{target.name}.part")
        self.note = target.with_name(f".{target.name}.json")

    def take(self, web: Web, request: Request) -> None:
        """One attempt to get the rest of it, check it, and give it its name."""
        have = self.part.stat().st_size if self.part.exists() else 0
        self.most = max(self.most, have)
        note = self._noted() if have else {}
        extra = {"Range": f"bytes={have}-", "If-Range": note["mark"]} if note else {}
        with web._asked(request, extra, frozenset({416})) as (_, response):
            headers = headers_of(response)
            html = headers.get("content-type", "").startswith("text/html")
            if html and response.status_code != 416:
                raise Transient("it answered with a web page")  # of a portal or a gateway
            wanted = {**announced(headers), **request.digests}
            if response.status_code == 206 and extra:
                begin, total = range_of(headers.get("content-range", ""))
                if begin != have or total != note["total"]:
                    self._forget()
                    raise Transient("it sent another part than the one asked for")
            elif response.status_code == 416:
                _, total = range_of(headers.get("content-range", ""))
                wanted = {**note.get("digests", {}), **request.digests}
                if total != have:
                    self._forget()
                    raise Transient("it has no such part any more")
            elif response.status_code == 206:
                raise Unreachable(f"{shown(request.url)}: it sent a part that was not asked for")
            else:
                have, total = 0, length_of(headers)
                self._forget()
                self._write_note(headers, total, wanted)
            if total is not None and total > request.limit:
                self._forget()
                raise TooLarge(f"{total:,} bytes, more than the {request.limit:,} that it may have")
            if response.status_code != 416:
                self._append(web, response, have, total, request.limit)
        if total is not None and (size := self.part.stat().st_size) != total:
            if size > total:
                self._forget()
            raise Transient(f"{size:,} bytes of {total:,} came", gained=self._gained(size))
        if fault := fault_of(self.part, wanted):
            self._forget()
            raise Transient(fault)
        self.part.replace(self.target)
        self.note.unlink(missing_ok=True)
        sync_folder(self.target.parent)

    def _gained(self, size: int) -> int:
        gained, self.most = max(0, size - self.most), max(size, self.most)
        return gained

    def _append(
        self, web: Web, response: httpx2.Response, have: int, total: int | None, limit: int
    ) -> None:
        size = have
        try:
            with self.part.open("ab") as out, _transport(web, str(response.url)):
                try:
                    for block in web._body(response, limit - have, per=1 << 23):
                        out.write(block)
                        size += len(block)
                        web.receiving = size, total
                        if web.stop.is_set():
                            raise Stopped
                finally:
                    web.receiving = None
                    out.flush()
                    os.fsync(out.fileno())
        except Transient as fault:
            raise Transient(str(fault), gained=self._gained(size), service=fault.service) from None

    def _noted(self) -> dict[str, Any]:
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) and {"mark", "total"} <= note.keys() else {}

    def _write_note(self, headers: Mapping[str, str], total: int | None, wanted: Any) -> None:
        mark = headers.get("etag", "")
        if not mark or mark.startswith("W/"):
            mark = headers.get("last-modified", "")
        if mark and total is not None:
            note = {"mark": mark, "total": total, "digests": wanted}
            write_atomically(self.note, json.dumps(note).encode())

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


@contextmanager
def _transport(web: Web, url: str) -> Iterator[None]:
    """Within: what the network does is `Transient`, and what no attempt mends `Unreachable`."""
    import httpx2

    try:
        yield
    except httpx2.TimeoutException as error:
        kind = "connection" if isinstance(error, httpx2.ConnectTimeout) else "byte"
        seconds = web.patience.connect if kind == "connection" else web.patience.read
        raise Transient(f"no {kind} within {seconds:g} s", service=service_of(url)) from None
    except (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL):
        # What they say repeats headers.
        raise Unreachable(f"{shown(url)}: the address or a header is not valid") from None
    except httpx2.HTTPError as error:
        if _distrusted(error):
            web._down[service_of(url)] = "its certificate is not trusted"
            raise Unreachable(
                f"{shown(url)}: its certificate is not trusted: {_reason(error)}; SSL_CERT_FILE "
                "may name a file with the authorities to trust"
            ) from None
        raise Transient(_reason(error), service=service_of(url)) from None


def _distrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: Exception) -> str:
    return redacted(str(error)) or type(error).__name__


@contextmanager
def _disk(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GanctlError(f"cannot write {file}: {error.strerror or error}") from None


def _target(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        origin(target)
    except ValueError:
        raise Unreachable(f"{shown(url)}: redirects to what is no address") from None
    return target
