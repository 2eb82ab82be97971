"""MusicBrainz, and the Cover Art Archive with the Internet Archive behind it."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

from .catalogue import Album, Catalogue
from .lucene import Document, SyntaxFault, parse
from .messages import Request, Response, file_response, html_response, json_response, redirect
from .pictures import Covers
from .server import Router, Service
from .tls import Authority

_SPACE = uuid.UUID("b9f0a1d2-3c4e-5f60-8a7b-1c2d3e4f5a6b")
_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MEANINGFUL = re.compile(r"[^\s/]+/\S+.*\(.*(@|://|\w\.\w).*\)", re.DOTALL)
"""`Application/version ( contact )`, as their documentation wants it."""
SLACK = 0.02
"""Seconds by which a request may come too early: what the way from the client may shift."""
SIDES = (250, 500, 1200)


def mbid(kind: str, album: Album) -> str:
    """An identifier of MusicBrainz."""
    return str(uuid.uuid5(_SPACE, f"{kind} {album.index}"))


class CoverArt(Service):
    """`musicbrainz`, `coverart`, `archive` and `node`.

    Tests may set `interval`, the seconds that must pass between two requests to MusicBrainz from
    one address; `None` lets all pass. Albums without images have no cover art.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        *,
        interval: float | None = 1.0,
        tls: Authority | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls=tls, host=host)
        self.catalogue = catalogue or Catalogue.make()
        self.interval = interval
        self.covers = Covers()
        self._albums = {mbid("release-group", a): a for a in self.catalogue.albums}
        self._releases = {mbid("release", a): a for a in self.catalogue.albums}
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()
        routes = Router(
            [
                ("GET", "/ws/2/release-group/?", self._search),
                ("GET", "/ws/2/release-group/([^/]+)", self._lookup),
            ]
        )
        self._routes = routes
        self.musicbrainz = self.listen("musicbrainz", self._musicbrainz)
        size = r"front(?:-(250|500|1200))?"
        self.coverart = self.listen(
            "coverart",
            Router(
                [
                    ("GET", f"/release-group/([^/]+)/{size}", self._front),
                    ("GET", "/release-group/([^/]+)/?", self._index),
                ]
            ),
        )
        self.archive = self.listen("archive", Router([("GET", "/download/(.+)", self._archived)]))
        item = r"mbid-([0-9a-f-]{36})"
        self.node = self.listen(
            "node",
            Router(
                [
                    ("GET", rf"/1/items/{item}/.*?-(\d+)(?:_thumb(\d+))?\.jpg", self._picture),
                    ("GET", rf"/1/items/{item}/index\.json", self._list),
                ]
            ),
        )

    # MusicBrainz

    def _musicbrainz(self, request: Request) -> Response:
        if not _MEANINGFUL.match(request.headers.get("User-Agent", "")):
            return _error(
                request, "Your User-Agent does not identify your application and its contact", 403
            )
        if not self._in_time(request):
            return _error(
                request, "Your requests are exceeding the allowable rate limit.", 503
            ).with_headers({"Retry-After": "1"})
        return self._routes(request)

    def _in_time(self, request: Request) -> bool:
        if self.interval is None:
            return True
        with self._lock:
            now = time.monotonic()
            if now - self._last.get(request.client, -1e9) < self.interval - SLACK:
                return False
            self._last[request.client] = now
            return True

    def _search(self, request: Request) -> Response:
        query = request.query
        try:
            limit = min(int(query.get("limit") or 25), 100)
            offset = int(query.get("offset") or 0)
            test = parse(query["query"])
        except KeyError:
            return _error(request, "A query is needed: browsing is not served here", 400)
        except (SyntaxFault, ValueError) as fault:
            return _error(request, f"Unable to parse search query. {fault}", 400)
        if limit < 1 or offset < 0:
            return _error(request, "Invalid limit or offset", 400)
        scored = [(test(_document(album)), album) for album in self.catalogue.albums]
        best = max((score for score, _ in scored), default=0)
        found = [(100 * score // best, album) for score, album in scored if score]
        found.sort(key=lambda pair: -pair[0])
        chosen = found[offset : offset + limit]
        if request.query.get("fmt") == "json" or "json" in request.headers.get("Accept", ""):
            return json_response(
                {
                    "created": "2024-05-01T12:00:00.000Z",
                    "count": len(found),
                    "offset": offset,
                    "release-groups": [_json(album) | {"score": score} for score, album in chosen],
                }
            )
        groups = "".join(_xml(album, score) for score, album in chosen)
        return _metadata(
            f'<release-group-list count="{len(found)}" offset="{offset}">'
            f"{groups}</release-group-list>"
        )

    def _lookup(self, request: Request, identifier: str) -> Response:
        if not _MBID.fullmatch(identifier):
            return _error(request, "Invalid mbid.", 400)
        album = self._albums.get(identifier)
        if album is None:
            return _error(request, "Not Found", 404)
        if request.query.get("fmt") == "json":
            return json_response(_json(album))
        return _metadata(_xml(album))

    # The Cover Art Archive

    def _front(self, request: Request, identifier: str, side: str | None) -> Response:
        thumb = "" if side is None else f"_thumb{side}"
        return self._to_archive(identifier, lambda item, image: f"{item}-{image}{thumb}.jpg")

    def _index(self, request: Request, identifier: str) -> Response:
        return self._to_archive(identifier, lambda item, image: "index.json")

    def _to_archive(self, identifier: str, name: Callable[[str, int], str]) -> Response:
        if not _MBID.fullmatch(identifier):
            return html_response("invalid MBID specified", 400)
        album = self._albums.get(identifier)
        if album is None or not album.images:
            return html_response(f"No cover art found for release group {identifier}", 404)
        item = f"mbid-{mbid('release', album)}"
        file = name(item, 10_000_000_000 + album.index)
        return redirect(f"{self.archive.url}/download/{item}/{file}", 307)

    def _archived(self, request: Request, rest: str) -> Response:
        return redirect(f"{self.node.url}/1/items/{rest}", 302)

    def _picture(self, request: Request, release: str, image: str, thumb: str | None) -> Response:
        album = self._releases.get(release)
        if album is None or (thumb is not None and int(thumb) not in SIDES):
            return html_response("Item not available", 404)
        content = self.covers(album.cover, int(thumb or 1200), album.quality)
        return file_response(request, content, "image/jpeg", f"{album.cover:x}-{thumb}")

    def _list(self, request: Request, release: str) -> Response:
        album = self._releases.get(release)
        if album is None:
            return html_response("Item not available", 404)
        number = 10_000_000_000 + album.index
        link = f"{self.coverart.url}/release/{release}/{number}"
        return json_response(
            {
                "images": [
                    {
                        "approved": True,
                        "back": False,
                        "comment": "",
                        "edit": 1,
                        "front": True,
                        "id": number,
                        "image": f"{link}.jpg",
                        "thumbnails": {str(side): f"{link}-{side}.jpg" for side in SIDES},
                        "types": ["Front"],
                    }
                ],
                "release": f"https://musicbrainz.org/release/{release}",
            }
        )


def _document(album: Album) -> Document:
    title, artist = album.name.lower(), album.artist.lower()
    return {
        "": [title],
        "releasegroup": [title],
        "artist": [artist],
        "artistname": [artist],
        "tag": [album.genre],
        "primarytype": ["album"],
        "type": ["album"],
        "status": ["official"],
        "firstreleasedate": [album.release_date],
        "rgid": [mbid("release-group", album)],
        "reid": [mbid("release", album)],
        "arid": [str(uuid.uuid5(_SPACE, album.artist))],
    }


def _json(album: Album) -> dict[str, object]:
    artist = {
        "id": str(uuid.uuid5(_SPACE, album.artist)),
        "name": album.artist,
        "sort-name": album.artist.removeprefix("The ") + ", The",
    }
    return {
        "id": mbid("release-group", album),
        "type-id": "f529b476-6e62-324f-b0aa-1f3e33d313fc",
        "primary-type-id": "f529b476-6e62-324f-b0aa-1f3e33d313fc",
        "count": 1,
        "title": album.name,
        "first-release-date": album.release_date,
        "primary-type": "Album",
        "artist-credit": [{"name": album.artist, "artist": artist}],
        "releases": [{"id": mbid("release", album), "title": album.name, "status": "Official"}],
        "tags": [{"count": 3, "name": album.genre}, {"count": 1, "name": "music"}],
    }


def _xml(album: Album, score: int | None = None) -> str:
    artist = escape(album.artist)
    ranked = "" if score is None else f' ns2:score="{score}"'
    return (
        f'<release-group id="{mbid("release-group", album)}" type="Album"{ranked}>'
        f"<title>{escape(album.name)}</title>"
        f"<first-release-date>{album.release_date}</first-release-date>"
        "<primary-type>Album</primary-type>"
        f'<artist-credit><name-credit><artist id="{uuid.uuid5(_SPACE, album.artist)}">'
        f"<name>{artist}</name><sort-name>{artist}</sort-name></artist></name-credit>"
        "</artist-credit>"
        f'<release-list count="1"><release id="{mbid("release", album)}">'
        f"<title>{escape(album.name)}</title><status>Official</status></release></release-list>"
        f'<tag-list><tag count="3"><name>{escape(album.genre)}</name></tag></tag-list>'
        "</release-group>"
    )


def _metadata(content: str) -> Response:
    spaces = (
        f"xmlns={quoteattr('http://musicbrainz.org/ns/mmd-2.0#')} "
        f"xmlns:ns2={quoteattr('http://musicbrainz.org/ns/ext#-2.0')}"
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?><metadata {spaces}>{content}</metadata>'
    return Response(200, {"Content-Type": "application/xml; charset=UTF-8"}, text.encode())


def _error(request: Request, text: str, status: int) -> Response:
    if request.query.get("fmt") == "json":
        return json_response({"error": text}, status)
    body = f'<?xml version="1.0" encoding="UTF-8"?><error><text>{escape(text)}</text></error>'
    return Response(status, {"Content-Type": "application/xml; charset=UTF-8"}, body.encode())
