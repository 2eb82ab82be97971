"""A private certificate authority, made when a test asks for one."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "127.0.0.2", "::1")


class Authority:
    """Its certificate for clients to trust, and one for servers on loopback.

    `names` may leave out the address that clients use: then no client may be content.
    """

    def __init__(self, folder: Path, names: tuple[str, ...] = NAMES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        self._server = authority.issue_cert(*names)
        self.certificate = folder / "authority.pem"
        """For SSL_CERT_FILE and REQUESTS_CA_BUNDLE."""
        authority.cert_pem.write_to_path(str(self.certificate))

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        return context

    def environment(self) -> dict[str, str]:
        """Variables with which programs trust it: those of OpenSSL and of `requests`."""
        trusted = str(self.certificate)
        return {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}
