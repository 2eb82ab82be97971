"""Front covers of the Cover Art Archive, found by a search of MusicBrainz."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from ganctl import (
    GanctlError,
    Item,
    Opt,
    Page,
    Plan,
    Refused,
    Request,
    Terms,
    UserError,
    Web,
    WebSource,
    __version__,
)

from .musicbrainz import PAGE, REACH, Answer, Group, Listing, Span, read_answer

HOME = "https://pypi.org/project/ganctl/"
LINK = "https://musicbrainz.org/release-group"
EVERY = 1.0
"""Seconds between two requests to MusicBrainz, which asks for no more than one a second."""
BYTES_PER_PIXEL = 0.25
"""Of a JPEG, as a rule of thumb: covers differ tenfold."""

_YEARS = re.compile(r"(\d{4})(?:\s*[-–]\s*(\d{4}))?")
_ADDRESS = re.compile(r"https?://[^\s?#@]+")
_CONTACT = re.compile(r"[!-'*-~]+(@|://|\.)[!-'*-~]+")
"""What an e-mail address or a URL looks like; no brackets, which end it in the User-Agent."""


@dataclass(frozen=True)
class CoverArtOptions:
    """Which release groups (albums, singles, …), and how large their covers are."""

    query: Annotated[str, Opt("In MusicBrainz's search language (Lucene), for all searches.")] = (
        "primarytype:album"
    )
    tags: Annotated[tuple[str, ...], Opt("One search for each of these tags, jazz,metal.")] = ()
    years: Annotated[str, Opt("Of the first release: 1975 or 1960-1979.")] = ""
    label: Annotated[
        Literal["tag", "none"], Opt("The most voted of `tags` as the label, or no labels.")
    ] = "tag"
    size: Annotated[Literal[250, 500, 1200], Opt("Longer side in pixels.")] = 500
    limit: Annotated[int | None, Opt("At most so many release groups for each search.", ge=1)] = (
        None
    )
    contact: Annotated[
        str, Opt("Your e-mail address or web page, for the servers' people to write to.")
    ] = HOME
    musicbrainz_url: Annotated[str, Opt("A MusicBrainz server.")] = "https://musicbrainz.org"
    coverart_url: Annotated[str, Opt("A Cover Art Archive.")] = "https://coverartarchive.org"


class CoverArt(WebSource[CoverArtOptions], api=1):
    """Album covers from the Cover Art Archive, found by a search of MusicBrainz."""

    def check(self, options: CoverArtOptions) -> None:
        _years(options.years)
        if not _CONTACT.fullmatch(options.contact):
            raise UserError(
                "source coverart: contact: not an e-mail address or a web page: "
                f"{options.contact!r}: MusicBrainz wants one in every request"
            )
        for name in ("musicbrainz_url", "coverart_url"):
            if not _ADDRESS.fullmatch(url := getattr(options, name)):
                raise UserError(f"source coverart: {name}: not a web address: {url!r}")
        if not options.query.strip():
            raise UserError("source coverart: query: empty: such as primarytype:album")
        narrowed = options.tags or options.years or options.limit
        if options.query == CoverArtOptions.query and not narrowed:
            raise UserError(
                "source coverart: these would be all albums there are: say which, with "
                "--source.tags, --source.years or --source.query, or how many, with --source.limit"
            )

    def terms(self, options: CoverArtOptions) -> Terms:
        return Terms(
            "https://musicbrainz.org/doc/Cover_Art_Archive",
            "2026-11-22",
            "unclear",
            (
                (
                    "MusicBrainz gives its core data away (CC0)",
                    "https://musicbrainz.org/doc/About/Data_License",
                ),
                (
                    "The archive grants no licence to the images, whose rights are others': no "
                    "terms forbid training, and none allow it",
                    "https://coverartarchive.org/",
                ),
            ),
        )

    def identity(self, options: CoverArtOptions) -> Mapping[str, Any]:
        """All but who asks, and what `edition` has."""
        return super().identity(replace(options, contact=HOME, label="tag", limit=None))

    def edition(self, options: CoverArtOptions) -> str:
        return f"{options.label}, {options.limit}"

    def base(self, options: CoverArtOptions) -> str:
        return options.coverart_url

    def plan(self, options: CoverArtOptions, web: Web) -> Plan:
        """From one request for each search."""
        listing, items, pages, split = _listing(options), 0, 0, False
        web.rest(EVERY)
        while listing.parts:
            count = _ask(options, web, listing.question, 0, 1).count
            wanted = min(count, options.limit or count)
            items, pages = items + wanted, pages + max(1, -(-wanted // PAGE))
            split = split or wanted > REACH
            del listing.parts[0]
        time = timedelta(seconds=round(pages * EVERY))
        notes = [
            f"{pages:,} requests to MusicBrainz, one a second: {time} (h:mm:ss) or more",
            f"{items:,} covers, if all have one, at the archive's pace: three requests each",
        ]
        if split:
            notes.append(f"searches of more than {REACH:,} are split by year: some requests more")
        if len(options.tags) > 1:
            notes.append("what has several of the tags is counted for each, and fetched once")
        size = round(options.size**2 * BYTES_PER_PIXEL)
        return Plan(items, items * size, pages + 3 * items, tuple(notes))

    def pages(self, options: CoverArtOptions, web: Web, cursor: str | None) -> Iterator[Page]:
        listing = _listing(options)
        if cursor is not None:
            listing.go_on(cursor)
        web.rest(EVERY)  # another command may have asked just now: --dry-run, or this one
        while listing.parts:
            tag = listing.tag
            found = _page(options, web, listing)
            groups, missing = listing.take(found)
            items = tuple(_item(options, group, tag) for group in groups)
            yield Page(items, listing.cursor, (missing,) if missing else ())

    def request(self, options: CoverArtOptions, item: Item) -> Request:
        return Request(item.uri, headers=_agent(options), base=options.coverart_url)


def _listing(options: CoverArtOptions) -> Listing:
    tags = tuple(dict.fromkeys(options.tags))
    return Listing.begin(options.query, tags, _years(options.years), options.limit)


def _page(options: CoverArtOptions, web: Web, listing: Listing) -> Answer | None:
    """None when the server refuses to page so deep."""
    try:
        return _ask(options, web, listing.question, listing.offset, PAGE)
    except Refused as error:
        if error.status == 400 and listing.offset:
            return None
        raise


def _ask(options: CoverArtOptions, web: Web, question: str, offset: int, count: int) -> Answer:
    request = Request(
        f"{options.musicbrainz_url.rstrip('/')}/ws/2/release-group",
        headers=_agent(options),
        params={"query": question, "fmt": "json", "limit": count, "offset": offset},
        every=EVERY,
        strict=True,
    )
    try:
        return read_answer(web.json(request))
    except Refused as error:
        if error.status == 400 and not offset:
            raise UserError(
                f"source coverart: MusicBrainz does not understand the search: {question}"
            ) from None
        if error.status == 403:
            raise GanctlError(
                f"{error}: MusicBrainz refuses those who do not say who they are, and those who "
                "asked too much: --source.contact"
            ) from None
        raise


def _agent(options: CoverArtOptions) -> dict[str, str]:
    return {"User-Agent": f"ganctl/{__version__} ({options.contact})"}


def _item(options: CoverArtOptions, group: Group, searched: str | None) -> Item:
    name = quote(group.id, safe="")
    uri = f"{options.coverart_url.rstrip('/')}/release-group/{name}/front-{options.size}"
    votes = sorted(group.votes, key=lambda tag: -group.votes[tag])
    known = {"title": group.title, "artist": group.artist, "date": group.date, "tags": votes}
    meta = {"link": f"{LINK}/{name}"} | {name: value for name, value in known.items() if value}
    return Item(group.id, uri, _label(options, group, searched), meta)


def _label(options: CoverArtOptions, group: Group, searched: str | None) -> str | None:
    """The most voted of the tags asked for, the first of these if several are."""
    if options.label == "none" or searched is None:
        return None
    votes = {name.lower(): number for name, number in group.votes.items()}
    most = max(options.tags, key=lambda tag: votes.get(tag.lower(), 0))
    return most if votes.get(most.lower()) else searched


def _years(text: str) -> Span:
    if not text:
        return ()
    found = _YEARS.fullmatch(text.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise UserError(f"source coverart: years: not like 1975 or 1960-1979: {text!r}")
    return first, last
