"""A private certificate authority, made when a test asks for one."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

NAMES = "DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:::1"

_AUTHORITY = """
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = {name}
[extensions]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

_SERVER = """
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class Authority:
    """Its certificate for clients to trust, and one for servers on loopback.

    It needs the command `openssl`; `available()` says whether that is there. `names` may leave
    out the address that clients use: then no client may be content.
    """

    def __init__(
        self, folder: Path, name: str = "Test authority", names: str = NAMES, days: int = 2
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = folder / "authority.pem"
        """For SSL_CERT_FILE and REQUESTS_CA_BUNDLE."""
        (folder / "authority.cnf").write_text(_AUTHORITY.format(name=name))
        (folder / "server.ext").write_text(_SERVER.format(names=names))
        lasting = ("-days", str(days), "-sha256")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        self._openssl(
            *("req", "-x509", *key, *lasting, "-config", "authority.cnf"),
            *("-keyout", "authority.key", "-out", "authority.pem"),
        )
        self._openssl(
            *("req", "-new", *key, "-config", "authority.cnf", "-subj", "/CN=loopback"),
            *("-keyout", "server.key", "-out", "server.csr"),
        )
        self._openssl(
            *("x509", "-req", "-in", "server.csr", *lasting, "-extfile", "server.ext"),
            *("-CA", "authority.pem", "-CAkey", "authority.key", "-set_serial", "2"),
            *("-out", "server.pem"),
        )

    @staticmethod
    def available() -> bool:
        return shutil.which("openssl") is not None

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        return context

    def environment(self) -> dict[str, str]:
        """Variables with which programs trust it: those of OpenSSL and of `requests`."""
        trusted = str(self.certificate)
        return {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
