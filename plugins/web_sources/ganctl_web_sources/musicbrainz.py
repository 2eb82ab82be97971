"""Searches of MusicBrainz: their questions, their answers, and how far a listing has come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ganctl import GanctlError

PAGE = 100
"""Release groups in an answer: what MusicBrainz gives at most."""
REACH = 10_000
"""Results that a search is paged through. Of more, parts of the time are searched, each for
itself: pages are slower the deeper they lie, and move when the index changes meanwhile."""

Span = tuple[int, ...]
"""When release groups came out first: `()` whenever, `(1960, 1979)` in these years,
`(1975, 1975, 6)` in a month, `(0,)` nobody knows."""
Part = tuple[int, Span]
"""What is asked in one search: the number of its tag, and the span."""


@dataclass(frozen=True)
class Group:
    """A release group: an album, a single, … as all its editions together."""

    id: str
    title: str
    artist: str
    date: str
    votes: dict[str, int] = field(default_factory=dict)
    """For its tags."""


@dataclass(frozen=True)
class Answer:
    """A page of a search, and how many there are in all."""

    count: int
    groups: tuple[Group, ...]


@dataclass
class Listing:
    """Searches one after another, as far as they have come.

    `limit`: at most so many of each tag. Without tags there is one search.
    """

    query: str
    tags: tuple[str, ...]
    limit: int | None
    parts: list[Part]
    """What is left to be searched; the first is at work."""
    offset: int = 0
    """Of the next page."""
    taken: int = 0
    """Of the limit."""

    @classmethod
    def begin(cls, query: str, tags: tuple[str, ...], span: Span, limit: int | None) -> Listing:
        return cls(query, tags, limit, [(number, span) for number in range(len(tags) or 1)])

    def go_on(self, cursor: str) -> None:
        """Stand where `cursor` was taken."""
        parts, self.offset, self.taken = json.loads(cursor)
        self.parts = [(number, tuple(span)) for number, span in parts]

    @property
    def cursor(self) -> str | None:
        """For `go_on`; None at the end."""
        return json.dumps([self.parts, self.offset, self.taken]) if self.parts else None

    @property
    def tag(self) -> str | None:
        """The tag that is searched for."""
        return self.tags[self.parts[0][0]] if self.tags else None

    @property
    def question(self) -> str:
        """The search at work, in Lucene's language."""
        dates = _dates(self.parts[0][1])
        if self.tag is None and not dates:
            return self.query
        tag = self.tag and f"tag:{_phrase(self.tag)}"
        return " AND ".join(filter(None, [f"({self.query})", tag, dates]))

    def take(self, answer: Answer | None) -> tuple[tuple[Group, ...], str | None]:
        """What of the answer is listed, and what is missing; the listing stands behind it then.

        None: the server does not give pages that lie so deep.
        """
        number, span = self.parts[0]
        left = None if self.limit is None else self.limit - self.taken
        ahead = 0 if answer is None else answer.count - self.offset
        ahead = ahead if left is None else min(ahead, left)
        broken_off = answer is None or (ahead > 0 and not answer.groups)
        too_large = broken_off if self.offset else ahead > REACH
        if too_large and (smaller := _smaller(span)):
            self.parts[:1] = [(number, part) for part in smaller]
            self.offset = 0
            return (), None
        note = None
        if broken_off:
            note = f"MusicBrainz gives only the first {self.offset:,} results of {self.question}"
        answer = answer or Answer(0, ())
        groups = answer.groups[:left]
        self.offset += len(answer.groups)
        self.taken += len(groups)
        if self.taken == self.limit:
            self.parts = [part for part in self.parts if part[0] != number]
        elif self.offset >= answer.count or not answer.groups:
            del self.parts[0]
        else:
            return groups, note
        self.offset = 0
        if not self.parts or self.parts[0][0] != number:
            self.taken = 0
        return groups, note


def read_answer(document: Any) -> Answer:
    """Raises `GanctlError` for what is no answer to a search."""
    count = document.get("count") if isinstance(document, dict) else None
    groups = document.get("release-groups") if isinstance(document, dict) else None
    if not isinstance(count, int) or count > 2**40 or not isinstance(groups, list):
        raise GanctlError("MusicBrainz answered what is no list of release groups")
    return Answer(count, tuple(_groups(groups)))


def _groups(entries: list[Any]) -> Iterator[Group]:
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            credits, tags = _dicts(entry.get("artist-credit")), _dicts(entry.get("tags"))
            yield Group(
                entry["id"],
                str(entry.get("title") or ""),
                "".join(f"{c.get('name') or ''}{c.get('joinphrase') or ''}" for c in credits),
                str(entry.get("first-release-date") or ""),
                {str(t["name"]): _whole(t.get("count")) for t in tags if t.get("name")},
            )


def _dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none of what is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _phrase(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _dates(span: Span) -> str:
    """The span in Lucene's language: right whether dates are compared as such or as texts."""
    match span:
        case (first, last):
            return f"firstreleasedate:[{first:04} TO {last:04}-12-31]"
        case (year, _, month):
            first_day = f"{year:04}" if month == 1 else f"{year:04}-{month:02}"
            return f"firstreleasedate:[{first_day} TO {year:04}-{month:02}-31]"
        case (_,):
            return "NOT firstreleasedate:[* TO *]"
    return ""


def _smaller(span: Span) -> list[Span]:
    """The parts of a span; none of a month."""
    match span:
        case ():
            return [(0,), (1, 1949), (1950, 2099)]
        case (first, last) if first < last:
            middle = (first + last) // 2
            return [(first, middle), (middle + 1, last)]
        case (year, _):
            return [(year, year, month) for month in range(1, 13)]
    return []
