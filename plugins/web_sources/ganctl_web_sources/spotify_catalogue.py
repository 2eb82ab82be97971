"""What Spotify's Web API lists: albums of searches and of playlists, page by page.

The service's `next` links are never followed: offsets are counted here, so that no answer can
send a token elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ganctl import Item, Refused, Request, Unreachable, UserError

from .spotify_auth import Tokens

if TYPE_CHECKING:
    from ganctl import Web

ID = r"[0-9A-Za-z]{22}"
SEARCH_LIMIT = 10
"""Albums in an answer: the most that all quota modes give."""
LAST_OFFSET = 1000
"""Of a search; more than this and a page is never shown."""
SPOTIFYS_OWN = "37i9dQZF1"
"""How the identifiers of Spotify's own playlists begin."""
OF_TRACKS = re.compile(r"\b(?:genre|isrc|track):")
"""Filters that the service applies to tracks and not to albums."""

FORBIDDEN = (
    "in development mode the app's owner needs Premium, and whoever signs in has to be among the "
    "users that the dashboard lists for the app"
)

_PLAYLIST = re.compile(
    rf"(?:https?://open\.spotify\.com/(?:intl-[a-z-]+/)?(?:user/[^/?#]+/)?playlist/({ID})/?(?:[?#].*)?"
    rf"|spotify:(?:user:[^:]+:)?playlist:({ID})|({ID}))"
)


def playlist_id(text: str) -> str:
    """Of an identifier, a link or a URI. Raises `UserError` for what is none of a playlist."""
    match = _PLAYLIST.fullmatch(text.strip())
    if match is None:
        raise UserError(
            f"source spotify: {text!r}: not a playlist: wanted its link, its URI "
            "(spotify:playlist:…), or its 22 letters and digits"
        )
    return next(group for group in match.groups() if group)


class Api:
    """The Web API as one app, or one user, may ask it."""

    def __init__(self, web: Web, url: str, tokens: Tokens) -> None:
        self.base = url.rstrip("/").removesuffix("/v1")
        self._web, self._tokens = web, tokens

    def get(self, path: str, params: Mapping[str, str | int], *, user: bool) -> dict[str, Any]:
        """The answer. Raises as `Web` does, and `UserError` if it is asked in vain for a token."""
        try:
            return self._get(path, params, self._tokens.bearer(user))
        except Refused as refused:
            if refused.status != 401:
                raise
        try:  # tokens live for an hour
            return self._get(path, params, self._tokens.bearer(user, fresh=True))
        except Refused as refused:
            if refused.status != 401:
                raise
            raise UserError(f"Spotify refuses a token that it has just given: {refused}") from None

    def _get(self, path: str, params: Mapping[str, str | int], bearer: Any) -> dict[str, Any]:
        url = f"{self.base}/v1/{path}"
        answer = self._web.json(Request(url, {"Authorization": bearer}, params=params))
        if not isinstance(answer, dict):
            raise Unreachable(f"{url}: not an answer of the Web API")
        return answer


@dataclass(frozen=True)
class Listed:
    """A part of an answer that is a page of something."""

    items: list[dict[str, Any]]
    """Without those that are null."""
    count: int
    """Of all in this answer."""
    total: int
    """Of all there are, as the service says now."""


def listed(answer: Any, path: str) -> Listed:
    """Raises `Unreachable` for what is no page."""
    match answer:
        case {"items": list(items), "total": int(total)}:
            return Listed([item for item in items if isinstance(item, dict)], len(items), total)
    raise Unreachable(f"{path}: not an answer of the Web API")


@dataclass(frozen=True)
class Step:
    """A page of albums; `position` continues after it, None at the end."""

    albums: list[dict[str, Any]]
    position: list[int] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """The albums that a search finds."""

    query: str
    """As the user asks it."""
    year: int | None = None
    """One search finds 1,010 albums at the most: with years, there is one for each."""

    @property
    def name(self) -> str:
        return f"search:{self.text}"

    @property
    def text(self) -> str:
        """As the service is asked."""
        return self.query if self.year is None else f"{self.query} year:{self.year}".strip()

    def page(
        self, api: Api, offset: int, market: Mapping[str, str], *, user: bool, text: str = ""
    ) -> Listed:
        """Ten at most. Raises `UserError` for a search that is refused."""
        kind = "track" if OF_TRACKS.search(self.query) else "album"
        what = {"q": text or self.text, "type": kind, **market}
        try:
            window = {"limit": SEARCH_LIMIT, "offset": offset}
            answer = api.get("search", {**what, **window}, user=user)
        except Refused as refused:
            if refused.status == 400:
                hint = "look at --source.query and --source.market"
            elif refused.status == 403:
                hint = FORBIDDEN
            else:
                raise
            raise UserError(f"the search {self.text!r}: {refused}: {hint}") from None
        found = listed(answer.get(f"{kind}s"), "search")
        albums = _identified(found.items) if kind == "album" else _albums(found.items)
        return replace(found, items=albums)

    def pages(
        self, api: Api, position: list[int], market: Mapping[str, str], *, user: bool
    ) -> Iterator[Step]:
        """From that position on: `[offset]`."""
        offset = position[0] if position else 0
        more = True
        while more:
            found = self.page(api, offset, market, user=user)
            offset += found.count
            more = found.count > 0 and offset < found.total
            notes: tuple[str, ...] = ()
            if more and offset > LAST_OFFSET:
                more = False
                notes = (
                    f"the search {self.text!r} finds {found.total:,}, of which Spotify shows "
                    f"the first {offset:,}: narrower searches find more (--source.years)",
                )
            yield Step(found.items, [offset] if more else None, notes)


@dataclass(frozen=True)
class Playlist:
    """The albums of a playlist's tracks."""

    id: str
    title: str = ""
    total: int = 0
    """Entries, where a listing of playlists told."""

    @property
    def name(self) -> str:
        return f"playlist:{self.id}"

    def pages(
        self,
        api: Api,
        position: list[int],
        market: Mapping[str, str],
        mode: str,
        *,
        user: bool,
        sign_in: bool,
    ) -> Iterator[Step]:
        """From that position on: `[offset, least total so far]`.

        `sign_in`: a user may, where the app alone is refused. A playlist that is refused then too
        gives one step with a note.
        """
        offset, least = position or (0, None)
        while True:
            try:
                found = self.page(api, offset, market, mode, user=user)
            except Refused as refused:
                hidden = refused.status == 404 and not self.id.startswith(SPOTIFYS_OWN)
                if (refused.status == 403 or hidden) and sign_in and not user:
                    user = True
                    continue
                if refused.status not in (400, 403, 404):
                    raise
                yield Step([], None, (self._refused(refused.status, user),))
                return
            offset += found.count
            if least is not None and found.total < least:
                # Some went meanwhile, and what followed them has moved up.
                offset = max(0, offset - found.count - (least - found.total))
            elif not found.count:
                offset = found.total
            least = found.total if least is None else min(least, found.total)
            more = offset < found.total
            yield Step(_albums(map(_content, found.items)), [offset, least] if more else None)
            if not more:
                return

    def page(
        self, api: Api, offset: int, market: Mapping[str, str], mode: str, *, user: bool
    ) -> Listed:
        """The entries from `offset` on."""
        query: dict[str, str | int] = {"additional_types": "track,episode", **market}
        query["offset"] = offset
        if mode != "legacy-dev":
            path = f"playlists/{self.id}/items"
            try:
                return listed(api.get(path, {**query, "limit": 50}, user=user), path)
            except Refused as refused:
                if mode != "auto" or refused.status not in (403, 404):
                    raise
                first = refused
        path = f"playlists/{self.id}/tracks"
        try:
            return listed(api.get(path, {**query, "limit": 100}, user=user), path)
        except Refused as refused:
            if mode == "auto" and refused.status in (403, 404):
                raise first from None
            raise

    def _refused(self, status: int, user: bool) -> str:
        why = {
            400: "Spotify knows no such identifier",
            403: "only its owner and collaborators may read it, as for all apps in development "
            "mode since February 2026",
            404: "private, gone, or one of Spotify's own, which apps made since November 2024 are "
            "not shown",
        }[status]
        hint = "" if user else "; whoever signs in (--source.mode dev2026) may read their own"
        return f"playlist {self.id} is left out ({status}): {why}{hint}"


def playlists_of_user(api: Api) -> list[Playlist]:
    """Those that the signed-in user owns or collaborates on, in the service's order.

    Raises `UserError` if the app may not know them.
    """
    try:
        me = api.get("me", {}, user=True).get("id")
    except Refused as refused:
        if refused.status != 403:
            raise
        raise UserError(f"your playlists: {refused}: {FORBIDDEN}") from None
    found: list[Playlist] = []
    offset, more = 0, True
    while more:
        path = "me/playlists"
        page = listed(api.get(path, {"limit": 50, "offset": offset}, user=True), path)
        for each in page.items:
            owner = each.get("owner")
            own = isinstance(owner, dict) and owner.get("id") == me
            known = re.fullmatch(ID, _text(each.get("id")))
            if known and (own or each.get("collaborative")):
                content = each.get("items") or each.get("tracks")
                total = content.get("total") if isinstance(content, dict) else 0
                count = total if isinstance(total, int) else 0
                found.append(Playlist(each["id"], _text(each.get("name")), count))
        offset += page.count
        more = page.count > 0 and offset < page.total
    return found


def title_of(api: Api, playlist: str, *, user: bool) -> str:
    """Its name; empty if it is not told."""
    try:
        return _text(api.get(f"playlists/{playlist}", {"fields": "name"}, user=user).get("name"))
    except Refused as refused:
        if refused.status not in (400, 403, 404):
            raise
        return ""


def item_of(album: dict[str, Any], label: str | None, meta: Mapping[str, Any]) -> Item:
    """An album of `Step.albums`; its `uri` is empty if it has no cover."""
    links = album.get("external_urls")
    link = links.get("spotify") if isinstance(links, dict) else None
    names = [_text(artist.get("name")) for artist in _dicts(album.get("artists"))]
    facts = {
        "link": link if isinstance(link, str) else f"https://open.spotify.com/album/{album['id']}",
        "name": _text(album.get("name")),
        "artists": [name for name in names if name],
        "release_date": _text(album.get("release_date")),
    }
    return Item(album["id"], _largest(album.get("images")), label, {**facts, **meta})


def year_of(album: dict[str, Any]) -> int | None:
    """Of its release, which may be known to the year, the month or the day."""
    match = re.match(r"([12]\d{3})(?:-|$)", _text(album.get("release_date")))
    return int(match[1]) if match else None


def _largest(images: Any) -> str:
    """The address of the widest image; of the first if the widths are not told."""
    known = [image for image in _dicts(images) if isinstance(image.get("url"), str)]
    if not known:
        return ""
    if all(isinstance(image.get("width"), int) for image in known):
        return str(max(known, key=lambda image: image["width"])["url"])
    return str(known[0]["url"])


def _dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none of what is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _content(entry: dict[str, Any]) -> Any:
    """What stands at a place of a playlist, by its new name or the old one."""
    return entry.get("item") or entry.get("track")


def _albums(tracks: Any) -> list[dict[str, Any]]:
    """The albums of tracks: of episodes and files on somebody's disk there are none."""
    return _identified(
        track.get("album")
        for track in tracks
        if isinstance(track, dict) and track.get("type", "track") == "track"
    )


def _identified(albums: Any) -> list[dict[str, Any]]:
    return [album for album in albums if isinstance(album, dict) and _text(album.get("id"))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
