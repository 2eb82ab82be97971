"""Who asks Spotify: an app by its secret, or a user who signed in. Where that is kept."""

from __future__ import annotations

import base64
import json
import os
import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganctl import GanctlError, Refused, Request, Secret, Unreachable, UserError

from .spotify_sign_in import can_sign_in, sign_in

if TYPE_CHECKING:
    from ganctl import Web

DASHBOARD = "https://developer.spotify.com/dashboard"
HOW_TO_SIGN_IN = (
    "to sign in, run the command once in a terminal of a machine with a browser; later runs need "
    "none. What is fetched is kept"
)


@dataclass(frozen=True)
class Credentials:
    """What the dashboard shows of an app. With no secret, only who signed in may ask."""

    client_id: str
    secret: Secret | None


def credentials() -> Credentials:
    """From the environment, else from the file. Raises `UserError` when there are none."""
    client_id = os.environ.get("SPOTIFY_CLIENT_ID", "").strip()
    secret = os.environ.get("SPOTIFY_CLIENT_SECRET", "").strip()
    file = _home("XDG_CONFIG_HOME", ".config") / "spotify.toml"
    if not (client_id and secret):
        kept = _read_toml(file)
        if client_id in ("", kept.get("client_id")):
            client_id = kept.get("client_id", "")
            secret = secret or kept.get("client_secret", "")
    if not client_id:
        raise UserError(
            "source spotify: no client id: set SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET, or "
            f"write client_id and client_secret into {file} (chmod 600); an app of your own is "
            f"made at {DASHBOARD}"
        )
    if not re.fullmatch(r"\w[\w.-]{,99}", client_id, re.ASCII):  # it names a file, too
        raise UserError("source spotify: SPOTIFY_CLIENT_ID: not a client id: letters and digits")
    return Credentials(client_id, Secret(secret) if secret else None)


class SignIn:
    """The refresh token of whoever signed in with one app, in a file for them alone."""

    def __init__(self, client_id: str) -> None:
        self.file = _home("XDG_DATA_HOME", ".local/share") / "spotify" / f"{client_id}.json"

    def __bool__(self) -> bool:
        return self.file.exists()

    def read(self) -> Secret | None:
        """None if nobody signed in. Raises `UserError` for a file that others can read."""
        text = _read_private(self.file)
        with suppress(ValueError, KeyError, TypeError):
            return Secret(str(json.loads(text)["refresh_token"]))
        return None

    def keep(self, token: Secret) -> None:
        """Raises `GanctlError` when the disk refuses."""
        part = self.file.with_name(f".{self.file.name}.{os.getpid()}.part")
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as out:
                json.dump({"refresh_token": token.reveal()}, out)
                out.flush()
                os.fsync(out.fileno())
            part.replace(self.file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise GanctlError(f"cannot write {self.file}: {error.strerror or error}") from None

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)


class Tokens:
    """Access tokens, in memory alone: the app's own, and the user's."""

    def __init__(self, web: Web, accounts_url: str, redirect_port: int) -> None:
        self._web, self._port = web, redirect_port
        self._accounts = accounts_url.rstrip("/")
        self._app = credentials()
        self._sign_in = SignIn(self._app.client_id)
        self._held: dict[bool, Secret] = {}

    @property
    def signed_in(self) -> bool:
        """Whether a user is, by this app or by an earlier run of it."""
        return bool(self._sign_in)

    @property
    def has_secret(self) -> bool:
        """Whether the app may ask for itself."""
        return self._app.secret is not None

    def bearer(self, user: bool, *, fresh: bool = False) -> Secret:
        """The header of a request; `fresh` if the last one was refused.

        The user signs in if they have not. Raises `UserError` for what the service does not
        know (any more), and as `Web` does.
        """
        if fresh or user not in self._held:
            self._held[user] = self._of_user() if user else self._of_app()
        return self._held[user].within("Bearer {}")

    def _of_app(self) -> Secret:
        assert self._app.secret is not None
        pair = f"{self._app.client_id}:{self._app.secret.reveal()}".encode()
        basic = Secret(base64.b64encode(pair).decode()).within("Basic {}")
        return self._token({"grant_type": "client_credentials"}, {"Authorization": basic})

    def _of_user(self) -> Secret:
        if kept := self._sign_in.read():
            form: dict[str, str | Secret] = {
                "grant_type": "refresh_token",
                "refresh_token": kept,
                "client_id": self._app.client_id,
            }
            return self._token(form, {})
        if not can_sign_in():
            raise UserError(HOW_TO_SIGN_IN)
        return self._token(sign_in(self._web, self._accounts, self._app.client_id, self._port), {})

    def _token(self, form: dict[str, str | Secret], headers: dict[str, Secret]) -> Secret:
        url = f"{self._accounts}/api/token"
        try:
            answer = self._web.json(Request(url, headers, "POST", form=form))
        except Refused as refused:
            raise self._reason(refused, str(form["grant_type"])) from None
        match answer:
            case {"access_token": str(access)} if access:
                pass
            case _:
                raise Unreachable(f"{url}: it answered without a token")
        renewed = answer.get("refresh_token")
        of_user = form["grant_type"] != "client_credentials"
        if of_user and isinstance(renewed, str) and renewed:  # if none is given, the old one stays
            self._sign_in.keep(Secret(renewed))
        return Secret(access)

    def _reason(self, refused: Refused, grant: str) -> GanctlError:
        """What the accounts service says, in OAuth's words, for whoever can mend it."""
        error = _oauth_error(refused.body)
        if error == "invalid_grant" and grant == "authorization_code":
            return GanctlError(
                "Spotify does not take the sign-in (invalid_grant); the same command asks again"
            )
        if error == "invalid_grant":
            self._sign_in.forget()  # asked again, it would be refused again
            return UserError(
                "Spotify has ended the sign-in, as it does after six months or when access is "
                f"taken back: {HOW_TO_SIGN_IN}"
            )
        if error == "invalid_client":
            return UserError(
                "Spotify does not know this client id with this secret (invalid_client): compare "
                f"SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET, or the file, with {DASHBOARD}"
            )
        return GanctlError(f"Spotify gives no token: {refused} {error}".rstrip())


def _oauth_error(body: bytes) -> str:
    """The error's name, such as `invalid_grant`; empty for whatever else was answered."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return error if isinstance(error, str) and re.fullmatch("[a-z_]{1,40}", error) else ""


def _home(variable: str, usual: str) -> Path:
    """Our folder among the user's; a relative `XDG_…` does not count, as its rules say."""
    named = Path(os.environ.get(variable, ""))
    return (named if named.is_absolute() else Path.home() / usual) / "ganctl"


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(_read_private(file))
    except tomllib.TOMLDecodeError:  # its message may show a line
        raise UserError(f'{file}: not TOML: client_id = "…" and client_secret = "…"') from None
    for name in ("client_id", "client_secret"):
        if not isinstance(values.get(name, ""), str):
            raise UserError(f"{file}: {name}: not a text")
    return values


def _read_private(file: Path) -> str:
    """Its text; empty if it is not there. Raises `UserError` if it is not the user's alone."""
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise UserError(f"{file}: others can read it: chmod 600 {file}")
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: {getattr(error, 'strerror', None) or 'not a text'}") from None
