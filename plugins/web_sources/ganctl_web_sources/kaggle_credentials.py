"""Kaggle's credentials, where its own programs look for them and in their order."""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ganctl import Secret, UserError


@dataclass(frozen=True)
class Credentials:
    """What proves who asks. `place` is where it was found, for messages."""

    place: str
    authorization: Secret
    """The value of the header."""
    readable_by_others: bool = False


def credentials() -> Credentials | None:
    """The first of: the token KAGGLE_API_TOKEN (or the path of a file with it),
    `~/.kaggle/access_token`, KAGGLE_USERNAME with KAGGLE_KEY, and `kaggle.json` in
    KAGGLE_CONFIG_DIR or `~/.kaggle`. None where there are none: public data need none.

    Raises `UserError` for a file that is named and missing, or does not hold what it should.
    """
    token = os.environ.get("KAGGLE_API_TOKEN", "").strip()
    if token:
        file = _named_file(token)
        return _of_token("KAGGLE_API_TOKEN", token) if file is None else _of_file(file)
    home = Path(os.path.expanduser("~")) / ".kaggle"  # where there is no home, no such folder
    for name in ("access_token", "access_token.txt"):  # Windows' editors add the suffix
        if (file := home / name).is_file() and file.stat().st_size:
            return _of_file(file)
    username, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if username and key:
        return _of_pair("KAGGLE_USERNAME and KAGGLE_KEY", username, key)
    file = Path(os.environ.get("KAGGLE_CONFIG_DIR") or home).expanduser() / "kaggle.json"
    return _of_json(file) if file.is_file() else None


def _named_file(token: str) -> Path | None:
    """The file whose path the variable holds instead of a token."""
    try:
        file = Path(token).expanduser()
        if file.is_file():
            return file
    except (OSError, ValueError, RuntimeError):  # too long, or a home that is unknown
        return None
    if file.is_absolute() or token.startswith(("~", ".")):
        raise UserError("KAGGLE_API_TOKEN is the path of a file that is not there")
    return None


def _of_file(file: Path) -> Credentials:
    return _of_token(str(file), _read(file).strip(), _is_readable_by_others(file))


def _of_token(place: str, token: str, readable: bool = False) -> Credentials:
    _check(place, token)
    return Credentials(place, Secret(token).within("Bearer {}"), readable)


def _of_json(file: Path) -> Credentials:
    try:
        content = json.loads(_read(file))
        username, key = content["username"], content["key"]
        if not (isinstance(username, str) and isinstance(key, str)):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f'{file}: not {{"username": "…", "key": "…"}}, as Kaggle makes it: '
            "make a new one at https://www.kaggle.com/settings"
        ) from None
    return _of_pair(str(file), username, key, _is_readable_by_others(file))


def _of_pair(place: str, username: str, key: str, readable: bool = False) -> Credentials:
    for text in (username, key):
        _check(place, text)
    Secret(key)  # known, so that it is taken out of messages
    pair = Secret(base64.b64encode(f"{username}:{key}".encode()).decode())
    return Credentials(place, pair.within("Basic {}"), readable)


def _check(place: str, text: str) -> None:
    if not (text and text.isascii() and text.isprintable() and " " not in text):
        raise UserError(f"{place}: not a token or a name and a key of Kaggle: one word is wanted")


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > 1 << 16:
            raise UserError(f"{file}: too large for credentials")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text file") from None


def _is_readable_by_others(file: Path) -> bool:
    return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
