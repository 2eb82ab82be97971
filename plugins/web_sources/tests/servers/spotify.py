"""Spotify: accounts, Web API and images, in the three quota modes."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from .catalogue import Catalogue, Entry, Playlist, entries
from .messages import Request, Response, file_response, html_response, json_response
from .pictures import Covers
from .server import Router, Service
from .spotify_accounts import Accounts, Token
from .spotify_objects import SIZES, Json, Naming, Shapes
from .spotify_query import matches, select
from .spotify_quotas import QUOTAS, Mode, Quota
from .tls import Authority


class Refused(Exception):
    """An error of the Web API."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = json_response(
            {"error": {"status": status, "message": message}}, status, headers
        )


class Spotify(Service):
    """`accounts`, `api`, `images`, and `elsewhere`: a host that no token may be sent to.

    Tests may set at any time: `mode`, `naming`, `rate` (requests, and in how many seconds),
    `forbidden` (a message: all of the API answers 403 with it, as for owners without Premium),
    `next_elsewhere` (`next` leads to the other host), and all of `people`, the accounts service.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        *,
        mode: Mode = "dev2026",
        tls: Authority | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls=tls, host=host)
        self.catalogue = catalogue or Catalogue.make()
        self.mode = mode
        self.naming: Naming | None = None
        self.rate: tuple[int, float] | None = None
        self.forbidden: str | None = None
        self.next_elsewhere = False
        self.people = Accounts()
        self.covers = Covers()
        self._lately: deque[float] = deque()
        self._lock = threading.Lock()
        routes = Router(
            [
                ("GET", "/v1/search", self._search),
                ("GET", "/v1/albums/([^/]+)", self._album),
                ("GET", "/v1/albums", self._albums),
                ("GET", "/v1/playlists/([^/]+)", self._playlist),
                ("GET", "/v1/playlists/([^/]+)/items", self._items),
                ("GET", "/v1/playlists/([^/]+)/tracks", self._tracks),
                ("GET", "/v1/me/?", self._me),
                ("GET", "/v1/me/playlists", self._my_playlists),
                ("GET", "/v1/users/([^/]+)/playlists", self._user_playlists),
                ("GET", "/v1/.*", self._unknown),
            ]
        )
        self._routes = routes
        self.accounts = self.listen("accounts", self.people.answer)
        self.api = self.listen("api", self._answer)
        self.images = self.listen("images", self._image)
        self.elsewhere = self.listen("elsewhere", self._answer)
        self.playlists: dict[str, Playlist] = {}
        albums = self.catalogue.albums
        self.mine = self.add_playlist("Mine", entries(albums[:60], odd=True), public=False)
        self.shared = self.add_playlist(
            "Shared", entries(albums[20:50]), "someone", collaborators=["listener"]
        )
        self.others = self.add_playlist("Theirs", entries(albums[40:80]), "someone")
        self.private = self.add_playlist("Secret", entries(albums[:5]), "someone", public=False)
        self.editorial = self.add_playlist("Top Hits", entries(albums[:50]), "spotify")

    def add_playlist(
        self, name: str, content: list[Entry], owner: str = "listener", **more: Any
    ) -> Playlist:
        playlist = Playlist(name, owner, content, **more)
        self.playlists[playlist.id] = playlist
        return playlist

    @property
    def quota(self) -> Quota:
        return QUOTAS[self.mode]

    @property
    def shapes(self) -> Shapes:
        naming = self.naming or self.quota.naming
        return Shapes(f"{self.api.url}/v1", self.images.url, naming, self.quota.reduced)

    # Who asks, and whether they may

    def _answer(self, request: Request) -> Response:
        try:
            token = self._authorized(request)
            self._pace()
            if self.forbidden is not None:
                raise Refused(403, self.forbidden)
            request.token = token  # type: ignore[attr-defined]
            return self._routes(request)
        except Refused as refused:
            return refused.response

    def _authorized(self, request: Request) -> Token:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        challenge = {"WWW-Authenticate": 'Bearer realm="spotify"'}
        if scheme.lower() != "bearer" or not text:
            raise Refused(401, "No token provided", challenge)
        challenge["WWW-Authenticate"] += ', error="invalid_token"'
        token = self.people.token(text)
        if token is None:
            raise Refused(401, "Invalid access token", challenge)
        if token.ends < time.time():
            raise Refused(401, "The access token expired", challenge)
        return token

    def _pace(self) -> None:
        """A rolling window, as long as it is set."""
        if self.rate is None:
            return
        most, seconds = self.rate
        with self._lock:
            now = time.monotonic()
            while self._lately and self._lately[0] <= now - seconds:
                self._lately.popleft()
            if len(self._lately) >= most:
                wait = int(self._lately[0] + seconds - now) + 1
                raise Refused(429, "API rate limit exceeded", {"Retry-After": str(wait)})
            self._lately.append(now)

    def _user(self, request: Request) -> str | None:
        return request.token.user  # type: ignore[attr-defined,no-any-return]

    def _signed_in(self, request: Request) -> str:
        user = self._user(request)
        if user is None:
            raise Refused(401, "Valid user authentication required")
        return user

    def _deprecated(self) -> None:
        if not self.quota.deprecated:
            raise Refused(403, "Forbidden")

    # Search and albums

    def _search(self, request: Request) -> Response:
        query = request.query
        if not query.get("q", "").strip():
            raise Refused(400, "No search query")
        kinds = query.get("type", "").split(",")
        known = {"album", "artist", "playlist", "track", "show", "episode", "audiobook"}
        if unknown := [kind for kind in kinds if kind not in known]:
            raise Refused(400, f"Bad search type field {unknown[0]}")
        limit, offset = _window(query, self.quota.search_default, self.quota.search_limit, 1000)
        shapes = self.shapes
        link = f"{shapes.api}/search"
        rest = {name: query[name] for name in ("q", "type", "market") if name in query}
        albums = [album for album in self.catalogue.albums if matches(query["q"], album)]
        words = query["q"].lower()
        playlists = [p for p in self.playlists.values() if p.public and words in p.name.lower()]
        found: dict[str, tuple[int, list[Any]]] = {
            "album": (len(albums), [shapes.album(a) for a in albums[offset : offset + limit]]),
            "track": (len(albums), [shapes.track(a) for a in albums[offset : offset + limit]]),
            "playlist": (
                len(playlists),
                [self._found(p) for p in playlists[offset : offset + limit]],
            ),
        }
        content = {}
        for kind in kinds:
            total, items = found.get(kind, (0, []))
            content[f"{kind}s"] = shapes.page(
                link, items, offset, limit, total, next_link=self._lead, last=1000, query=rest
            )
        return json_response(content)

    def _found(self, playlist: Playlist) -> Json | None:
        """A playlist in a search; null where the mode does not show Spotify's own."""
        if playlist.owner == "spotify" and not self.quota.editorial:
            return None
        return self.shapes.playlist(playlist, {})

    def _album(self, request: Request, identifier: str) -> Response:
        _check_id(identifier)
        album = self.catalogue.get(identifier)
        if album is None:
            raise Refused(404, "Resource not found")
        return json_response(self.shapes.album(album, whole=True))

    def _albums(self, request: Request) -> Response:
        self._deprecated()
        wanted = request.query.get("ids", "").split(",")
        if len(wanted) > 20:
            raise Refused(400, "Too many ids requested")
        found = [self.catalogue.get(identifier) for identifier in wanted]
        shapes = self.shapes
        return json_response({"albums": [a and shapes.album(a, whole=True) for a in found]})

    # Playlists

    def _visible(self, request: Request, identifier: str) -> Playlist:
        _check_id(identifier)
        playlist = self.playlists.get(identifier)
        if playlist is None or (playlist.owner == "spotify" and not self.quota.editorial):
            raise Refused(404, "Resource not found")
        if not playlist.public and not self._own(request, playlist):
            raise Refused(404, "Resource not found")
        return playlist

    def _own(self, request: Request, playlist: Playlist) -> bool:
        """Whether the user owns it or collaborates on it, and let the app see such a one."""
        scopes = request.token.scopes  # type: ignore[attr-defined]
        needed = [] if playlist.public else ["playlist-read-private"]
        return playlist.belongs_to(self._user(request)) and scopes.issuperset(needed)

    def _readable(self, request: Request, playlist: Playlist) -> bool:
        return self.quota.others or self._own(request, playlist)

    def _playlist(self, request: Request, identifier: str) -> Response:
        playlist = self._visible(request, identifier)
        items = self._page(request, playlist, 0, 100) if self._readable(request, playlist) else None
        return json_response(
            select(self.shapes.playlist(playlist, items), request.query.get("fields"))
        )

    def _items(self, request: Request, identifier: str) -> Response:
        playlist = self._visible(request, identifier)
        if not self._readable(request, playlist):
            raise Refused(403, "Forbidden")
        limit, offset = _window(request.query, 20, 50)
        content = self._page(request, playlist, offset, limit)
        return json_response(select(content, request.query.get("fields")))

    def _tracks(self, request: Request, identifier: str) -> Response:
        self._deprecated()
        playlist = self._visible(request, identifier)
        limit, offset = _window(request.query, 100, 100)
        content = self._page(request, playlist, offset, limit, "tracks")
        return json_response(select(content, request.query.get("fields")))

    def _page(
        self, request: Request, playlist: Playlist, offset: int, limit: int, path: str = "items"
    ) -> Json:
        shapes, query = self.shapes, request.query
        episodes = "episode" in query.get("additional_types", "track")
        naming: Naming | None = "track" if path == "tracks" else None
        rest = {n: query[n] for n in ("additional_types", "fields", "market") if n in query}
        chosen = playlist.entries[offset : offset + limit]
        return shapes.page(
            f"{shapes.api}/playlists/{playlist.id}/{path}",
            [shapes.entry(entry, episodes=episodes, naming=naming) for entry in chosen],
            *(offset, limit, len(playlist.entries)),
            next_link=self._lead,
            query=rest,
        )

    def _me(self, request: Request) -> Response:
        content = self.shapes.user(self._signed_in(request))
        return json_response(content | {"images": [], "followers": {"href": None, "total": 0}})

    def _my_playlists(self, request: Request) -> Response:
        user = self._signed_in(request)
        owned = [p for p in self.playlists.values() if p.belongs_to(user)]
        return self._listing(request, [p for p in owned if self._own(request, p)])

    def _user_playlists(self, request: Request, user: str) -> Response:
        self._deprecated()
        owned = [p for p in self.playlists.values() if p.owner == user and p.public]
        return self._listing(request, owned)

    def _listing(self, request: Request, playlists: list[Playlist]) -> Response:
        limit, offset = _window(request.query, 20, 50)
        shapes = self.shapes
        chosen = [shapes.playlist(p, {}) for p in playlists[offset : offset + limit]]
        link = f"{self.api.url}{request.path}"
        return json_response(
            shapes.page(link, chosen, offset, limit, len(playlists), next_link=self._lead)
        )

    def _unknown(self, request: Request) -> Response:
        old = ("/v1/browse/", "/v1/tracks", "/v1/artists", "/v1/users/", "/v1/recommendations")
        if request.path.startswith(old):
            self._deprecated()
        raise Refused(404, "Service not found")

    def _lead(self, link: str) -> str:
        return link.replace(self.api.url, self.elsewhere.url, 1) if self.next_elsewhere else link

    # Images

    def _image(self, request: Request) -> Response:
        name = request.path.removeprefix("/image/")
        side = next((s for s, prefix in SIZES.items() if name.startswith(prefix)), None)
        if side is None or len(name) != 40 or not set(name) <= set("0123456789abcdef"):
            return html_response("no such image", 404)
        content = self.covers(int(name[18:], 16), side, int(name[16:18], 16))
        return file_response(
            request, content, "image/jpeg", name, headers={"Cache-Control": "max-age=31536000"}
        )


def _window(query: dict[str, str], default: int, most: int, last: int = 100_000) -> tuple[int, int]:
    """Limit and offset."""
    found = []
    for name, usual, least, greatest in (("limit", default, 1, most), ("offset", 0, 0, last)):
        text = query.get(name) or str(usual)
        if not text.isdecimal() or not least <= int(text) <= greatest:
            raise Refused(400, f"Invalid {name}")
        found.append(int(text))
    return found[0], found[1]


def _check_id(text: str) -> None:
    if len(text) != 22 or not text.isalnum() or not text.isascii():
        raise Refused(400, "Invalid base62 id")
