"""Signing in to Spotify: Authorization Code with PKCE (RFC 7636), through the user's browser."""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import os
import queue
import secrets
import sys
import threading
import time
import webbrowser
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from ganctl import GanctlError, Secret, UserError

if TYPE_CHECKING:
    from ganctl import Web

SCOPES = "playlist-read-private playlist-read-collaborative"
CALLBACK = "/callback"
PATIENCE = 300.0
"""Seconds that the user has for it."""


def can_sign_in() -> bool:
    """Whether somebody may be there: at a terminal, or with a browser of their choice."""
    return os.isatty(0) or "BROWSER" in os.environ


def sign_in(web: Web, accounts_url: str, client_id: str, port: int) -> dict[str, str | Secret]:
    """Lets the user agree in a browser. Gives the form that a token is asked for with.

    Raises `UserError` when they refuse or the port is in use, `GanctlError` when nobody answers,
    and what `Web.rest` raises.
    """
    verifier, state = Secret(secrets.token_urlsafe(64)), secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    try:
        server = _Callback(port)
    except OSError as error:
        in_use = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = (
            "; name another with --source.redirect-port, and list its address in the app's settings"
            if in_use
            else ""
        )
        raise UserError(f"port {port} on 127.0.0.1: {error.strerror or error}{hint}") from None
    redirect_uri = f"http://127.0.0.1:{server.server_address[1]}{CALLBACK}"
    query = {
        "client_id": client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": SCOPES,
        "state": state,
        "code_challenge_method": "S256",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    address = f"{accounts_url}/authorize?{urlencode(query)}"
    print(
        "ganctl: sign in to Spotify in the browser; if none opens, follow this on this machine "
        f"(the app has to list {redirect_uri} among its redirect URIs):\n{address}",
        file=sys.stderr,
        flush=True,
    )
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True),
        threading.Thread(target=_open, args=(address,), daemon=True),
    ]
    try:
        for thread in threads:
            thread.start()
        answer = _answer(server, web)
    finally:
        server.shutdown()
        server.server_close()
    code = _code(answer, state)
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client_id,
        "code_verifier": verifier,
    }


class _Callback(ThreadingTCPServer):
    """Where the browser is sent back to. Its threads are for browsers that connect ahead."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would share a port that is in use

    def __init__(self, port: int) -> None:
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        super().__init__(("127.0.0.1", port), _Answered)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up is none of ours to report."""


class _Answered(BaseHTTPRequestHandler):
    timeout = 10
    server: _Callback

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != CALLBACK:
            self.send_error(404)
            return
        text = b"You may close this page and go back to ganctl."
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()
        self.server.answers.put(parts.query)

    def log_message(self, *args: object) -> None:
        """The address has the code in it."""


def _open(address: str) -> None:
    with suppress(OSError, webbrowser.Error):  # the address is on the screen
        webbrowser.open(address)


def _answer(server: _Callback, web: Web) -> str:
    """The query that the browser brings back."""
    until = time.monotonic() + PATIENCE
    while server.answers.empty():
        if time.monotonic() > until:
            raise GanctlError(
                f"nobody signed in to Spotify within {PATIENCE / 60:g} minutes; "
                "the same command asks again"
            )
        web.rest(0.05)
    return server.answers.get()


def _code(query: str, state: str) -> Secret:
    """The code in the answer, if the answer is to our question."""
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    if not hmac.compare_digest(fields.get("state", "").encode(), state.encode()):
        raise GanctlError(
            "the browser came back with an answer to another question (its state differs): "
            "the sign-in is given up; the same command asks again"
        )
    if code := fields.get("code"):
        return Secret(code)
    if fields.get("error") == "access_denied":
        raise UserError("you did not allow the app to read your playlists, so there is no sign-in")
    raise GanctlError("Spotify sent the browser back without a code; the same command asks again")
