"""Which addresses are asked, and how they are shown: redirects and listings are not trusted."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from ..web import is_loopback, is_public
from .secret import redacted


def host_of(url: str) -> str:
    """The host's name in lower case; empty when there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def service_of(url: str) -> str:
    """The host, with its port where that is not the usual one: what is asked at one pace."""
    try:
        scheme, host, port = origin(url)
    except ValueError:
        return ""
    usual = {"https": 443, "http": 80}.get(scheme)
    return host if port == usual else f"{host}:{port}"


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: a secret for one of these is for no other.

    Raises `ValueError` for what is no address.
    """
    parts = urlsplit(url)
    (parts.hostname or "").encode("idna")  # a label is empty, or has over 63 letters
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port


def shown(url: str) -> str:
    """The address for a message: without user, query and fragment, where secrets travel."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        text = urlunsplit((parts.scheme, place, parts.path, "", ""))
    except ValueError:
        text = "an address that is none"
    return redacted(text if text.isprintable() else ascii(text))


class Addresses:
    """Remembers which hosts are public, so that their names are looked up once."""

    def __init__(self) -> None:
        self._public: dict[str, bool] = {}

    def fault(self, url: str, base: str) -> str | None:
        """Why nothing is asked at `url`; None when it may be.

        `base` is the address that the user named, under which this one was found: what it leads
        to is of the public web, or of its own host; on this machine if it is itself.
        """
        try:
            scheme, host, _ = origin(url)
        except ValueError:
            return "not a web address"
        if scheme not in ("http", "https") or not host:
            return "not a web address"
        here = host_of(base)
        if host == here or (is_loopback(host) and is_loopback(here)) or self._is_public(host):
            return None
        return "an address in a private network"

    def _is_public(self, host: str) -> bool:
        if host not in self._public:
            self._public[host] = is_public(host)
        return self._public[host]
