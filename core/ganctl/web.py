"""Files from the web: in blocks, limited in size, and from where they may come from."""

from __future__ import annotations

import ipaddress
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import urlsplit

from .errors import GanctlError, UserError

TIMEOUT = 60
"""Seconds without a byte after which a download is given up."""

_BLOCK = 1 << 20


class Unreachable(GanctlError):
    """The network or the server refuses, or what comes is too long or cut short."""


def download(url: str, limit: int, *, anywhere: bool = False) -> Generator[bytes]:
    """The file at `url`, of `limit` bytes at most, in blocks; with a bar on a terminal.

    `anywhere`: over http too, and wherever redirects lead, for who knows what the file must
    be. Otherwise an address is one of https, or of this machine, and no redirect leads from it
    to a private network. Raises `UserError` for other addresses, `Unreachable` for all that
    goes wrong.
    """
    from rich.console import Console
    from rich.progress import Progress

    if not anywhere and (fault := _fault(url)):
        raise UserError(f"{url}: {fault}")
    redirects = urllib.request.HTTPRedirectHandler() if anywhere else _Redirects()
    bar = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    try:
        with urllib.request.build_opener(redirects).open(url, timeout=TIMEOUT) as body, bar:
            total = _length(body.headers.get("Content-Length"))
            if (total or 0) > limit:
                raise _Unfit(f"{total:,} bytes, more than the {limit:,} that it may have")
            task = bar.add_task(urlsplit(url).path.rpartition("/")[2], total=total)
            seen = 0
            while block := body.read(_BLOCK):
                seen += len(block)
                if seen > limit:
                    raise _Unfit(f"more than the {limit:,} bytes that it may have")
                yield block
                bar.update(task, completed=seen)
            if total is not None and seen < total:
                raise _Unfit(f"{seen:,} bytes of {total:,} came")
    except (OSError, HTTPException, ValueError) as error:  # URLError and TimeoutError are OSErrors
        raise Unreachable(f"cannot download {url}: {_reason(error)}") from None


class _Unfit(ValueError):
    """What comes is not what may come."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        there = urlsplit(newurl).hostname or ""
        fault = _fault(newurl)
        if fault is None and there != urlsplit(req.full_url).hostname and not is_public(there):
            fault = "an address in a private network"
        if fault is not None:
            fp.close()
            raise _Unfit(f"it redirects to {newurl}: {fault}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fault(url: str) -> str | None:
    """Why nothing is taken from there; None when it is."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        return "not a web address"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return None
    return "files are taken over https alone"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(host: str) -> bool:
    """Whether none of the host's addresses is of a private network; looks its name up."""
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return True  # a proxy may know it; if there is none, nothing is reached
    return all(ipaddress.ip_address(address).is_global for address in found)


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()  # it holds the connection
    elif isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    return " ".join(str(error).split()) or type(error).__name__
