"""Which addresses of a service credentials are sent to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ganctl import UserError


def check_service(source: str, option: str, url: str, own: str) -> None:
    """Raise `UserError` unless it is the service's own address, or a server on this machine.

    Options come from files as well, and it is not for a file to say who gets the credentials.
    """
    if url.rstrip("/") != own and not _is_here(url):
        raise UserError(
            f"source {source}: {option} is {own}, or a server on this machine: not {url}"
        )


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
