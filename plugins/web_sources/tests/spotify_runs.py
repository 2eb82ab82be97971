"""How the tests of the source spotify run it: in this process, and as the real command."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from servers import Spotify

from ganctl import Item, Page, Web
from ganctl.fetch.pacing import Patience
from ganctl_web_sources.spotify import Spotify as Source
from ganctl_web_sources.spotify import SpotifyOptions

BROWSER = f"{sys.executable} {Path(__file__).parent / 'servers/browser.py'} %s"
TERMS = ("--accept-terms", "spotify@2025-05-15", "--permission", "the labels, 2026-01-01")
QUICK = Patience(read=0.5, whole=3, attempts=3, first_wait=0.01, longest_wait=0.02)


def tiny(seed: int, side: int, quality: int) -> bytes:
    """A cover of 64 pixels, quickly made: a rotated JPEG for `Spotify.covers`."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    width = {640: 64, 300: 30, 64: 6}[side]
    Image.fromarray(patches).resize((width, width), Image.Resampling.BICUBIC).save(
        out, "JPEG", quality=quality
    )
    return out.getvalue()


def options(spotify: Spotify, **values: Any) -> SpotifyOptions:
    """Options that lead to the test's servers."""
    return SpotifyOptions(
        **{
            "api_url": spotify.api.url,
            "accounts_url": spotify.accounts.url,
            "redirect_port": 0,
            **values,
        }
    )


@contextmanager
def web() -> Iterator[Web]:
    client = Web(patience=QUICK)
    try:
        yield client
    finally:
        client.close()


def pages(spotify: Spotify, cursor: str | None = None, **values: Any) -> list[Page]:
    """What the source lists."""
    with web() as client:
        return list(Source().pages(options(spotify, **values), client, cursor))


def items(found: list[Page]) -> dict[str, Item]:
    """By key, as the engine keeps them: the first of each."""
    kept: dict[str, Item] = {}
    for page in found:
        for item in page.items:
            kept.setdefault(item.key, item)
    return kept


def notes(found: list[Page]) -> list[str]:
    return [note for page in found for note in page.notes]


class Command:
    """`ganctl` in a folder of its own, for a user with a home of their own."""

    def __init__(self, folder: Path, spotify: Spotify) -> None:
        self.folder, self.home, self.spotify = folder / "work", folder / "home", spotify
        for place in (self.folder, self.home):
            place.mkdir()
        kept = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("SPOTIFY_", "SPOTIPY_", "XDG_", "GANCTL_", "BROWSER"))
        }
        app = spotify.people.app
        self.env = kept | {
            "HOME": str(self.home),
            "SPOTIFY_CLIENT_ID": app.id,
            "SPOTIFY_CLIENT_SECRET": app.secret,
        }
        self.said = ""
        """All that was ever printed."""

    def start(self, *more: str, terms: bool = True, out: str = "covers") -> subprocess.Popen[str]:
        """`ganctl fetch`, under way."""
        where = {
            "api-url": self.spotify.api.url,
            "accounts-url": self.spotify.accounts.url,
            "redirect-port": "0",
        }
        arguments = [word for name, text in where.items() for word in (f"--source.{name}", text)]
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "ganctl", "fetch", "--source", "spotify", "--out", out),
                *arguments,
                *(TERMS if terms else ()),
                *more,
            ],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *more: str, **rest: Any) -> subprocess.CompletedProcess[str]:
        """`ganctl fetch`, to its end, which is never a traceback."""
        process = self.start(*more, **rest)
        with process:
            printed, told = process.communicate(timeout=120)
        self.said += printed + told
        assert "Traceback" not in told, told
        return subprocess.CompletedProcess(process.args, process.returncode, printed, told)

    def kept(self, out: str = "covers") -> dict[str, bytes]:
        """The pictures by name."""
        files = (self.folder / out / "pictures").glob("*.jpg")
        return {file.name: file.read_bytes() for file in files}

    def rows(self, out: str = "covers") -> list[dict[str, Any]]:
        """The manifest's items, in their order."""
        db = sqlite3.connect(self.folder / out / "manifest.sqlite")
        db.row_factory = sqlite3.Row
        found = [dict(row) for row in db.execute("SELECT * FROM items ORDER BY number")]
        db.close()
        return found
