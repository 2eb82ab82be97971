"""Searches that are larger than what is paged through, without the seconds between requests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ganctl import GanctlError, Item, Page, Refused, Request
from ganctl_web_sources import musicbrainz
from ganctl_web_sources.coverart import CoverArt, CoverArtOptions
from ganctl_web_sources.musicbrainz import REACH, read_answer

DATES = re.compile(r"firstreleasedate:\[(\S+) TO (\S+)\]")
EVERYTHING = CoverArtOptions(query="*")


@dataclass
class Index:
    """Albums by date, found as MusicBrainz finds them: `reach` is how deep pages go."""

    dates: list[str]
    reach: int = 10**9
    refuses: bool = False
    """Whether a page that lies too deep is refused, or just empty."""
    asked: list[tuple[str, int]] = field(default_factory=list)

    def rest(self, seconds: float) -> None:
        assert seconds == 1.0

    def json(self, request: Request) -> Any:
        question, offset = str(request.params["query"]), int(request.params["offset"])
        assert (request.every, request.strict) == (1.0, True)
        self.asked.append((question, offset))
        found = [n for n, date in enumerate(self.dates) if self.finds(question, date)]
        chosen = found[offset : min(offset + int(request.params["limit"]), self.reach)]
        if offset and not chosen and self.refuses:
            raise Refused("no", 400, {}, b"")
        groups = [{"id": f"{n}", "first-release-date": self.dates[n]} for n in chosen]
        return {"count": len(found), "offset": offset, "release-groups": groups}

    def finds(self, question: str, date: str) -> bool:
        """Dates compared as texts, the strictest of the ways in which servers do it."""
        if "NOT firstreleasedate" in question:
            return not date
        if match := DATES.search(question):
            return match[1] <= date <= match[2]
        return True


def listed(index: Index, options: CoverArtOptions, cursor: str | None = None) -> Iterator[Page]:
    return CoverArt().pages(options, index, cursor)  # type: ignore[arg-type]


def keys(pages: Iterator[Page]) -> list[str]:
    return [item.key for page in pages for item in page.items]


def dates(count: int) -> list[str]:
    """Of years, months and days, and some unknown."""
    years = [1200, 1937, *range(1950, 2026)]
    texts = [f"{years[n % len(years)]}-{n % 12 + 1:02}-{n % 28 + 1:02}" for n in range(count)]
    return [text[: (10, 7, 4, 10, 0)[n % 5]] for n, text in enumerate(texts)]


def test_what_is_larger_than_the_reach_is_searched_in_parts() -> None:
    index = Index(dates(REACH + 500), reach=REACH)
    found = keys(listed(index, EVERYTHING))
    assert sorted(map(int, found)) == list(range(REACH + 500))
    assert len(found) == REACH + 500  # in no part twice
    assert len(index.asked) < 115
    assert max(offset for _, offset in index.asked) < REACH


@pytest.mark.parametrize("refuses", [False, True])
def test_pages_that_end_early_are_searched_in_parts(refuses: bool) -> None:
    index = Index(dates(900), reach=300, refuses=refuses)
    assert sorted(map(int, set(keys(listed(index, EVERYTHING))))) == list(range(900))
    within = CoverArtOptions(query="*", years="1950-1975")
    found = set(keys(listed(index, within)))
    assert {index.dates[int(key)][:4] for key in found} == set(map(str, range(1950, 1976)))


@pytest.mark.parametrize("refuses", [False, True])
def test_a_month_that_ends_early_is_told(refuses: bool) -> None:
    index = Index(["1999-05"] * 350 + ["2001"], reach=300, refuses=refuses)
    pages = list(listed(index, CoverArtOptions(years="1990-2001")))
    assert set(keys(iter(pages))) == {str(n) for n in (*range(300), 350)}
    (note,) = [note for page in pages for note in page.notes]
    assert note == (
        "MusicBrainz gives only the first 300 results of "
        "(primarytype:album) AND firstreleasedate:[1999-05 TO 1999-05-31]"
    )


def test_every_cursor_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicbrainz, "REACH", 1000)
    index = Index(dates(1100), reach=1000)
    options = CoverArtOptions(tags=("jazz", "metal"), limit=1050)
    pages = list(listed(index, options))
    whole = [item.key for page in pages for item in page.items]
    assert len(whole) == 2 * 1050
    done = 0
    for page in pages[:-1]:
        done += len(page.items)
        assert page.cursor is not None
        following = next(listed(index, options, page.cursor))
        assert [i.key for i in following.items] == whole[done : done + len(following.items)]
    assert pages[-1].cursor is None


def test_an_index_that_shrinks_while_it_is_paged() -> None:
    index = Index(dates(450))
    pages = listed(index, EVERYTHING)
    found = [next(pages)]
    del index.dates[150:]
    assert len(keys(iter([*found, *pages]))) == 150


def test_a_limit_is_for_each_tag() -> None:
    index = Index(dates(500))
    pages = list(listed(index, CoverArtOptions(tags=("a", "b"), limit=150)))
    assert [len(page.items) for page in pages] == [100, 50, 100, 50]
    assert [page.items[0].label for page in pages] == ["a", "a", "b", "b"]


def test_the_label_is_the_most_voted_of_those_asked_for() -> None:
    groups = [
        {"id": "1", "tags": [{"name": "Jazz", "count": 2}, {"name": "soul", "count": 5}]},
        {"id": "2", "tags": [{"name": "funk", "count": 9}, {"name": "jazz", "count": 1}]},
        {"id": "3", "tags": [{"name": "jazz", "count": 3}, {"name": "soul", "count": 3}]},
        {"id": "4"},
        {"title": "no id"},
        "nothing",
    ]

    class Fixed(Index):
        def json(self, request: Request) -> Any:
            return {"count": 4, "release-groups": groups}

    options = CoverArtOptions(tags=("soul", "jazz"))
    first = next(CoverArt().pages(options, Fixed([]), None))  # type: ignore[arg-type]
    assert [item.label for item in first.items] == ["soul", "jazz", "soul", "soul"]
    assert first.items[0].meta["tags"] == ["soul", "Jazz"]
    assert "title" not in first.items[3].meta


def test_a_tag_is_a_phrase_and_an_id_is_quoted() -> None:
    index = Index([""])
    pages = listed(index, CoverArtOptions(query="a OR b", tags=('drum "n" \\bass',), years="1990"))
    next(pages)
    assert index.asked[0][0] == (
        '(a OR b) AND tag:"drum \\"n\\" \\\\bass" AND firstreleasedate:[1990 TO 1990-12-31]'
    )

    class Fixed(Index):
        def json(self, request: Request) -> Any:
            return {"count": 1, "release-groups": [{"id": "../x?y"}]}

    (item,) = next(CoverArt().pages(EVERYTHING, Fixed([]), None)).items  # type: ignore[arg-type]
    assert isinstance(item, Item)
    assert item.uri == "https://coverartarchive.org/release-group/..%2Fx%3Fy/front-500"


@pytest.mark.parametrize("document", [None, [], {}, {"count": "1"}, {"count": 1}])
def test_what_is_no_answer(document: Any) -> None:
    with pytest.raises(GanctlError, match="no list of release groups"):
        read_answer(document)
