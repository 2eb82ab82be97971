"""The web services of the documentation, played on loopback.

A page with the line `<!-- servers: spotify, gallery -->` is followed with its commands sent to
servers on this machine: addresses in it are exchanged, and the options that name a service's
address are added. Everything else happens as the page says.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import servers
from servers import Catalogue, Covers, Kaggle, Spotify, archive, entries
from servers import CoverArt as CoverArtService
from web_server import Answer, Asked, serving

Adapt = Callable[[str], str]
"""What makes a page's text lead to a server here."""

PLAYLIST = "3cEYpjA9oz9GiPac4AsH4n"
"""The playlist that the pages fetch."""


class Services:
    """Starts the services that a page names; within `with`."""

    def __init__(self) -> None:
        self.env: dict[str, str] = {"NO_PROXY": "127.0.0.1"}
        self._stack = ExitStack()

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def adapted(self, page: str) -> str:
        """The page's text, leading to servers here. Starts those that it names."""
        for line in re.findall(r"^<!-- servers: (.*) -->$", page, re.MULTILINE):
            for name in line.split(", "):
                page = getattr(self, f"_{name}")()(page)
        return page

    def _spotify(self) -> Adapt:
        spotify = self._stack.enter_context(Spotify(Catalogue.make(200)))
        spotify.add_playlist(
            "Sleeves", entries(spotify.catalogue.albums[:80]), "listener", id=PLAYLIST
        )
        people = spotify.people
        home = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.env |= {
            "SPOTIFY_CLIENT_ID": people.app.id,
            "SPOTIFY_CLIENT_SECRET": people.app.secret,
            "BROWSER": f"{sys.executable} {Path(servers.__file__).with_name('browser.py')} %s",
            "XDG_CONFIG_HOME": home,
            "XDG_DATA_HOME": home,
        }
        where = f"--source.api-url {spotify.api.url} --source.accounts-url {spotify.accounts.url}"
        return _with_options("spotify", where)

    def _coverart(self) -> Adapt:
        service = self._stack.enter_context(CoverArtService(Catalogue.make(60)))
        where = (
            f"--source.musicbrainz-url {service.musicbrainz.url} "
            f"--source.coverart-url {service.coverart.url}"
        )
        return _with_options("coverart", where)

    def _kaggle(self) -> Adapt:
        service = self._stack.enter_context(Kaggle())
        covers = Covers()
        service.add(
            "greg115/album-covers-images",
            archive({f"covers/{n}.jpg": covers(n, 128) for n in range(80)}),
        )
        return _with_options("kaggle", f"--source.api-url {service.api.url}")

    def _gallery(self) -> Adapt:
        """A server with pictures at every address, and a listing of them page by page."""
        server = self._stack.enter_context(serving())
        covers = Covers()

        def listing(asked: Asked) -> Answer:
            page = int(parse_qs(urlsplit(asked.path).query)["page"][0])
            numbers = range(10 * page, 10 * page + 10)
            answer = {
                "total": 80,
                "pictures": [
                    {"id": f"a{n}", "file": f"/full/a{n}.jpg", "school": "old" if n % 2 else "new"}
                    for n in numbers
                ],
                "next": page + 1 if page < 7 else None,
            }
            return Answer(json.dumps(answer).encode())

        server.on("/list", listing)
        for n in range(80):
            server.on(f"/full/a{n}.jpg", Answer(covers(n, 128)))
        return lambda page: page.replace("https://gallery.example", server.url)


def _with_options(source: str, options: str) -> Adapt:
    return lambda page: re.sub(rf"(?m)^(.*--source {source})\b", rf"\1 {options}", page)
