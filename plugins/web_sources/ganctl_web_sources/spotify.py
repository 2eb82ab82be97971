"""Album covers from Spotify: of searches, of playlists, of the user's own playlists."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ganctl import GanctlError, Item, Opt, Page, Plan, Terms, Unreadable, UserError, WebSource

from .services import check_service
from .spotify_auth import HOW_TO_SIGN_IN, SignIn, Tokens, credentials
from .spotify_catalogue import (
    LAST_OFFSET,
    SEARCH_LIMIT,
    Api,
    Playlist,
    Search,
    Step,
    item_of,
    playlist_id,
    playlists_of_user,
    title_of,
    year_of,
)
from .spotify_sign_in import can_sign_in

if TYPE_CHECKING:
    from ganctl import Web

API, ACCOUNTS = "https://api.spotify.com", "https://accounts.spotify.com"
COVER_BYTES = 100_000
"""What a cover of 640×640 is taken to have in a plan."""
SHOWN = LAST_OFFSET + SEARCH_LIMIT
"""Albums that one search shows at the most."""
_GENRE = re.compile(r'\bgenre:(?:"([^"]+)"|(\S+))', re.IGNORECASE)
_YEARS = re.compile(r"(\d{4})(?:-(\d{4}))?")


@dataclass(frozen=True)
class SpotifyOptions:
    """What to search for or which playlists to take; credentials are no options."""

    query: Annotated[
        tuple[str, ...],
        Opt("Searches in Spotify's language, such as 'genre:jazz,artist:Miles Davis'."),
    ] = ()
    years: Annotated[str, Opt("Years of release, such as 1960-1999: one search for each year.")] = (
        ""
    )
    playlists: Annotated[
        tuple[str, ...], Opt("Playlists: their links, URIs (spotify:playlist:…) or identifiers.")
    ] = ()
    mine: Annotated[bool, Opt("Your own playlists; you sign in through the browser.")] = False
    label: Annotated[
        Literal["none", "query", "genre", "year", "decade", "playlist"],
        Opt("What covers are labelled with: what found them, or when the album came out."),
    ] = "none"
    market: Annotated[str, Opt("Country whose catalogue counts, such as DE.")] = ""
    limit: Annotated[int | None, Opt("Albums at the most.", ge=1)] = None
    mode: Annotated[
        Literal["auto", "dev2026", "legacy-dev", "extended"],
        Opt("The app's quota mode: who may read playlists, and how they are asked for."),
    ] = "auto"
    api_url: Annotated[str, Opt("The Web API; for tests a server on this machine.")] = API
    accounts_url: Annotated[
        str, Opt("The accounts service; for tests a server on this machine.")
    ] = ACCOUNTS
    redirect_port: Annotated[
        int, Opt("Port on 127.0.0.1 that signing in returns to; 0: any.", ge=0, le=65535)
    ] = 8888


class Spotify(WebSource[SpotifyOptions], api=1):
    """Album covers of searches and playlists on Spotify, for those who hold permission."""

    references = (
        "https://developer.spotify.com/documentation/web-api",
        "https://developer.spotify.com/terms",
    )

    def terms(self, options: SpotifyOptions) -> Terms:
        terms, policy = (
            "https://developer.spotify.com/terms",
            "https://developer.spotify.com/policy",
        )
        return Terms(
            terms,
            "2025-05-15",
            "no",
            (
                ("Developer Terms IV.2.1.a forbid using Spotify's platform or content “to train a "
                 "machine learning or AI model”", terms),
                ("Developer Policy III.14 forbids the same", policy),
                ("Developer Terms IV.3.1.a and IV.3.2 allow content to be cached temporarily, and "
                 "no longer than the app needs it", terms),
            ),
            "Covers that no such terms forbid: --source coverart (Cover Art Archive).",
        )  # fmt: skip

    def base(self, options: SpotifyOptions) -> str:
        return options.api_url

    def identity(self, options: SpotifyOptions) -> Mapping[str, Any]:
        return {
            "query": list(options.query),
            "years": options.years,
            "playlists": [playlist_id(text) for text in options.playlists],
            "mine": options.mine,
            "market": options.market,
        }

    def edition(self, options: SpotifyOptions) -> str:
        return f"{options.label}, {options.limit}"

    def limit(self, options: SpotifyOptions) -> int | None:
        return options.limit

    def check(self, options: SpotifyOptions) -> None:
        searches, playlists = self._searches(options), self._playlists(options)
        if not (searches or playlists or options.mine):
            raise UserError(
                "source spotify: say what to fetch: --source.query, --source.years, "
                "--source.playlists, or --source.mine"
            )
        self._check_label(options)
        if options.market and not re.fullmatch("[A-Z]{2}", options.market):
            raise UserError(f"source spotify: market {options.market!r}: wanted two capitals: DE")
        check_service("spotify", "api_url", options.api_url, API)
        check_service("spotify", "accounts_url", options.accounts_url, ACCOUNTS)
        app = credentials()
        may_sign_in = can_sign_in() or SignIn(app.client_id).read() is not None
        if options.mine or (playlists and options.mode == "dev2026"):
            if not may_sign_in:
                raise UserError(f"source spotify: nobody is signed in: {HOW_TO_SIGN_IN}")
        elif app.secret is None and not may_sign_in:
            raise UserError(
                "source spotify: no client secret: set SPOTIFY_CLIENT_SECRET, or sign in once: "
                + HOW_TO_SIGN_IN
            )

    def plan(self, options: SpotifyOptions, web: Web) -> Plan:
        """One request for each query and playlist; the user signs in where a fetch would ask."""
        tokens = Tokens(web, options.accounts_url, options.redirect_port)
        api, market = Api(web, options.api_url, tokens), _market(options)
        years = _years(options.years)
        user = not tokens.has_secret
        notes = [f"bytes: {COVER_BYTES:,} for each cover are assumed (640×640 pixels)"]
        items = requests = 0
        for query in options.query or (("",) if years else ()):
            searches = len(years) or 1
            span = f"year:{years[0]}-{years[-1]}" if years else ""
            found = Search(query).page(api, 0, market, user=user, text=f"{query} {span}".strip())
            shown = min(found.total, SHOWN * searches)
            items += shown
            requests += max(searches, math.ceil(shown / SEARCH_LIMIT) + searches // 2)
        totals = []
        for playlist in self._playlists(options):
            step = next(self._pages_of(playlist, options, tokens, api, []))
            totals.append(step.position[1] if step.position else len(step.albums))
            notes += step.notes
        if options.mine:
            totals += [playlist.total for playlist in playlists_of_user(api)]
        items += sum(totals)
        requests += sum(math.ceil(total / 50) or 1 for total in totals)
        if options.limit is not None and items > options.limit:
            requests = math.ceil(requests * options.limit / items)
            items = options.limit
        minutes = max(1, math.ceil((requests + items / 4) / 5 / 60))
        notes.append(
            f"about {minutes:,} min, if five searches or twenty covers come in a second and "
            "Spotify asks for no pause"
        )
        return Plan(items, items * COVER_BYTES, 1 + requests + items, tuple(notes))

    def pages(self, options: SpotifyOptions, web: Web, cursor: str | None) -> Iterator[Page]:
        tokens = Tokens(web, options.accounts_url, options.redirect_port)
        api, market = Api(web, options.api_url, tokens), _market(options)
        parts: list[Search | Playlist] = [*self._searches(options), *self._playlists(options)]
        own = len(parts)
        if options.mine:
            named = {part.name for part in parts}
            parts += [p for p in playlists_of_user(api) if p.name not in named]
        begin, position = _place([part.name for part in parts], cursor, own)
        for part in parts[begin:]:
            label, meta = None, {}
            if isinstance(part, Search):
                steps = part.pages(api, position, market, user=not tokens.has_secret)
                meta = {"query": part.text}
                label = _label_of_search(options.label, part.query)
            else:
                steps = self._pages_of(part, options, tokens, api, position)
                meta = {"playlist": f"https://open.spotify.com/playlist/{part.id}"}
            for step in steps:
                # After the first page, for which the user may have signed in.
                if isinstance(part, Playlist) and options.label == "playlist" and step.albums:
                    user = self._user_reads_playlists(options, tokens)
                    label = label or part.title or title_of(api, part.id, user=user) or part.id
                items = [
                    item_of(album, label or _label_of_album(options.label, album), meta)
                    for album in step.albums
                ]
                yield Page(tuple(items), json.dumps([part.name, step.position]), step.notes)
            position = []

    def fetch(self, options: SpotifyOptions, item: Item, web: Web) -> bytes:
        if not item.uri:
            raise Unreadable("the album has no cover")
        return super().fetch(options, item, web)

    @staticmethod
    def _searches(options: SpotifyOptions) -> list[Search]:
        years = _years(options.years)
        if years and any("year:" in query for query in options.query):
            raise UserError("source spotify: --source.years and year: in a query: give one of them")
        queries = options.query or (("",) if years else ())
        return [Search(query, year) for query in queries for year in years or (None,)]

    @staticmethod
    def _playlists(options: SpotifyOptions) -> list[Playlist]:
        return [Playlist(i) for i in dict.fromkeys(map(playlist_id, options.playlists))]

    def _pages_of(
        self,
        playlist: Playlist,
        options: SpotifyOptions,
        tokens: Tokens,
        api: Api,
        position: list[int],
    ) -> Iterator[Step]:
        user = self._user_reads_playlists(options, tokens)
        may = options.mode == "auto" and can_sign_in()
        market = _market(options)
        return playlist.pages(api, position, market, options.mode, user=user, sign_in=may)

    @staticmethod
    def _check_label(options: SpotifyOptions) -> None:
        """A set has labels if every picture has one."""
        searched = bool(options.query or options.years)
        listed = bool(options.playlists or options.mine)
        fault = ""
        if options.label in ("query", "genre") and listed:
            fault = "playlists have none"
        elif options.label == "query" and not options.query:
            fault = "there is no query"
        elif options.label == "genre" and not all(map(_GENRE.search, options.query or ("",))):
            fault = (
                "Spotify tells no album's genre, so it is that of the search: each query needs "
                "one (genre:jazz)"
            )
        elif options.label == "playlist" and searched:
            fault = "what a search finds has none"
        if fault:
            raise UserError(f"source spotify: --source.label {options.label}: {fault}")

    @staticmethod
    def _user_reads_playlists(options: SpotifyOptions, tokens: Tokens) -> bool:
        """In development mode since 2026 an app by itself may read none."""
        if options.mode == "auto":
            return options.mine or tokens.signed_in or not tokens.has_secret
        return options.mine or options.mode == "dev2026" or not tokens.has_secret


def _label_of_search(kind: str, query: str) -> str | None:
    if kind == "query":
        return query
    if kind == "genre" and (match := _GENRE.search(query)):
        return match[1] or match[2]
    return None


def _label_of_album(kind: str, album: dict[str, Any]) -> str | None:
    year = year_of(album)
    if year is None or kind not in ("year", "decade"):
        return None
    return str(year) if kind == "year" else f"{year // 10 * 10}s"


def _years(text: str) -> range:
    """Raises `UserError` for what is no year and no range of years."""
    if not text:
        return range(0)
    match = _YEARS.fullmatch(text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last or not 1000 <= first <= last <= 2999:
        raise UserError(f"source spotify: years {text!r}: wanted a year, or two: 1960-1999")
    return range(first, last + 1)


def _market(options: SpotifyOptions) -> dict[str, str]:
    return {"market": options.market} if options.market else {}


def _place(names: list[str], cursor: str | None, own: int) -> tuple[int, list[int]]:
    """Which part comes next, and from which position on."""
    if cursor is None:
        return 0, []
    try:
        name, position = json.loads(cursor)
    except ValueError:
        raise GanctlError("the listing cannot go on: its cursor is damaged") from None
    if name not in names:  # a playlist of the user's that is gone: the others once more
        return own, []
    begin = names.index(name)
    return (begin + 1, []) if position is None else (begin, position)
