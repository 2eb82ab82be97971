"""Spotify's accounts service: tokens for apps and for users."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import threading
import time
from binascii import Error as BadBase64
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlencode, urlsplit

from .catalogue import base62
from .messages import Request, Response, html_response, json_response, redirect
from .server import Router

LIFE = 3600
"""Seconds that an access token lives."""


@dataclass
class App:
    """What somebody registered in the dashboard."""

    id: str = "0123456789abcdef0123456789abcdef"
    secret: str = "fedcba9876543210fedcba9876543210"
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1/callback", "http://[::1]/callback")
    """On a loopback address, one without a port stands for all ports."""


@dataclass
class Token:
    """An access token."""

    app: str
    user: str | None
    """None: the app's own, by its credentials."""
    scopes: frozenset[str]
    ends: float


@dataclass
class _Code:
    app: str
    redirect_uri: str
    challenge: str | None
    scopes: frozenset[str]


@dataclass
class Accounts:
    """Codes, tokens, and who may have them. Tests may set what is public here at any time."""

    app: App = field(default_factory=App)
    user: str = "listener"
    """Who sits at the browser."""
    consents: bool = True
    """Whether they agree; otherwise the app is sent `error=access_denied`."""
    state: str | None = None
    """A state to send back instead of the app's own."""
    rotates: bool = False
    """A refresh gives a new refresh token and ends the old one; otherwise it gives none."""
    life: int = LIFE

    def __post_init__(self) -> None:
        self._number = count(1)
        self._lock = threading.Lock()
        self._given: list[str] = []
        self._codes: dict[str, _Code] = {}
        self._tokens: dict[str, Token] = {}
        self._refresh: dict[str, Token] = {}
        self.answer = Router(
            [
                ("GET", "/authorize", self._authorize),
                ("POST", "/api/token", self._token),
            ]
        )

    def token(self, text: str) -> Token | None:
        """The access token of that text; None for one that was never given or is revoked."""
        return self._tokens.get(text)

    def revoke(self) -> None:
        """All access tokens are invalid from now on; refresh tokens stay."""
        self._tokens.clear()

    def revoke_refresh(self) -> None:
        """All refresh tokens are invalid from now on, as after six months."""
        self._refresh.clear()

    def secrets(self) -> set[str]:
        """Every secret that there ever was: nothing that a client writes may hold one.

        The keeper of refresh tokens has to keep those, and nothing else.
        """
        return {self.app.secret, *self._given}

    # /authorize

    def _authorize(self, request: Request) -> Response:
        query = request.query
        address = query.get("redirect_uri", "")
        if query.get("client_id") != self.app.id:
            return _refuse("INVALID_CLIENT: Invalid client")
        if not _secure(address):
            return _refuse("INVALID_CLIENT: Insecure redirect URI")
        if not any(_registered(address, uri) for uri in self.app.redirect_uris):
            return _refuse("INVALID_CLIENT: Invalid redirect URI")
        back = {"state": self.state or query["state"]} if "state" in query else {}
        if query.get("response_type") != "code":
            return _send_back(address, back | {"error": "unsupported_response_type"})
        challenge = query.get("code_challenge")
        if challenge is not None and query.get("code_challenge_method") != "S256":
            return _refuse("code_challenge_method must be S256")
        if challenge is not None and len(challenge) != 43:
            return _refuse("Invalid code_challenge")
        if not self.consents:
            return _send_back(address, back | {"error": "access_denied"})
        code = self._secret("AQ", 3)
        scopes = frozenset(query.get("scope", "").split())
        self._codes[code] = _Code(self.app.id, address, challenge, scopes)
        return _send_back(address, {"code": code} | back)

    # /api/token

    def _token(self, request: Request) -> Response:
        if "application/x-www-form-urlencoded" not in request.headers.get("Content-Type", ""):
            return _error("unsupported_grant_type", "grant_type parameter is missing", 415)
        form = request.form
        given = self._credentials(request)
        kind = form.get("grant_type", "")
        if given[0] != self.app.id:
            return _error("invalid_client", "Invalid client")
        if given[1] is not None and given[1] != self.app.secret:
            return _error("invalid_client", "Invalid client secret")
        with self._lock:
            if kind == "client_credentials":
                if given[1] is None:
                    return _error("invalid_client", "Invalid client secret")
                return self._give(None, frozenset())
            if kind == "authorization_code":
                return self._redeem(form, secret=given[1] is not None)
            if kind == "refresh_token":
                return self._renew(form.get("refresh_token", ""))
        return _error("unsupported_grant_type", f"grant_type {kind or 'parameter is missing'}")

    def _credentials(self, request: Request) -> tuple[str, str | None]:
        """Client id and secret, from the header or from the form; None: no secret was sent."""
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (BadBase64, UnicodeDecodeError):
                return "", ""
            return name, secret
        return request.form.get("client_id", ""), request.form.get("client_secret")

    def _redeem(self, form: dict[str, str], *, secret: bool) -> Response:
        code = self._codes.pop(form.get("code", ""), None)  # it is good for one attempt
        if code is None:
            return _error("invalid_grant", "Invalid authorization code")
        if form.get("redirect_uri") != code.redirect_uri:
            return _error("invalid_grant", "Invalid redirect URI")
        if code.challenge is not None:
            verifier = form.get("code_verifier", "")
            if not 43 <= len(verifier) <= 128:
                return _error("invalid_request", "code_verifier must be 43 to 128 characters")
            digest = hashlib.sha256(verifier.encode()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
                return _error("invalid_grant", "code_verifier was incorrect")
        elif not secret:
            return _error("invalid_client", "Invalid client secret")
        return self._give(self.user, code.scopes, refresh=True)

    def _renew(self, text: str) -> Response:
        token = self._refresh.get(text)
        if token is None:
            return _error("invalid_grant", "Refresh token revoked")
        if self.rotates:
            del self._refresh[text]
        return self._give(token.user, token.scopes, refresh=self.rotates)

    def _give(self, user: str | None, scopes: frozenset[str], *, refresh: bool = False) -> Response:
        access = self._secret("BQ", 5)
        token = Token(self.app.id, user, scopes, time.time() + self.life)
        self._tokens[access] = token
        content = {"access_token": access, "token_type": "Bearer", "expires_in": self.life}
        if user is not None:
            content["scope"] = " ".join(sorted(scopes))
        if refresh:
            content["refresh_token"] = self._secret("AQ", 5)
            self._refresh[content["refresh_token"]] = token
        return json_response(content, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _secret(self, start: str, parts: int) -> str:
        number = next(self._number)
        text = start + "".join(base62(id(self), number, part) for part in range(parts))
        self._given.append(text)
        return text


def _registered(address: str, registered: str) -> bool:
    ours, theirs = urlsplit(registered), urlsplit(address)
    port = ours.port is None or ours.port == theirs.port
    same = (ours.scheme, ours.hostname, ours.path) == (theirs.scheme, theirs.hostname, theirs.path)
    return same and port


def _secure(address: str) -> bool:
    """Over https, or to a loopback address as such: the name localhost is refused."""
    parts = urlsplit(address)
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _send_back(address: str, query: dict[str, str]) -> Response:
    joint = "&" if urlsplit(address).query else "?"
    return redirect(f"{address}{joint}{urlencode(query)}", 303)


def _refuse(text: str) -> Response:
    return html_response(text, 400)


def _error(error: str, description: str, status: int = 400) -> Response:
    return json_response({"error": error, "error_description": description}, status)
