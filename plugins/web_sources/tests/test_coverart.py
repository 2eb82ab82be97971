"""`--source coverart` against servers that speak MusicBrainz's and the archive's protocols."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganctl_command import Ganctl
from servers import (
    Authority,
    Body,
    Catalogue,
    CoverArt,
    Drop,
    Html,
    Redirect,
    Status,
    Truncate,
    mbid,
)

SEARCH = "/ws/2/release-group"


@pytest.fixture
def ganctl(tmp_path: Path) -> Ganctl:
    return Ganctl(tmp_path)


@pytest.fixture
def server() -> Iterator[CoverArt]:
    with CoverArt(Catalogue.make(80)) as server:
        yield server
    assert not any(s.errors for s in (server.musicbrainz, server.coverart, server.archive))


def fetching(server: CoverArt, *words: object, out: str = "covers") -> list[object]:
    """`localhost` and `127.0.0.1` are two hosts, as those services are: each has its own pace."""
    archive = server.coverart.url.replace("127.0.0.1", "localhost")
    return [
        *("fetch", "--source", "coverart", "--out", out),
        *("--source.musicbrainz-url", server.musicbrainz.url, "--source.coverart-url", archive),
        *("--source.size", 250, *words),
    ]


def groups(server: CoverArt, genre: str | None = None, years: range | None = None) -> list[str]:
    return [
        mbid("release-group", album)
        for album in server.catalogue.albums
        if genre in (None, album.genre) and (years is None or album.year in years)
    ]


def test_tags_are_searches_and_labels(server: CoverArt, ganctl: Ganctl) -> None:
    words = fetching(server, "--source.tags", "folk,Hip Hop")
    done = ganctl(*words)
    rows = ganctl.rows("covers")
    assert list(rows) == groups(server, "folk") + groups(server, "hip hop")
    assert {rows[key]["label"] for key in groups(server, "folk")} == {"folk"}
    assert {rows[key]["label"] for key in groups(server, "hip hop")} == {"Hip Hop"}

    album = server.catalogue.albums[13]
    row = rows[mbid("release-group", album)]
    assert json.loads(row["meta"]) == {
        "link": f"https://musicbrainz.org/release-group/{row['key']}",
        "title": album.name,
        "artist": album.artist,
        "date": album.release_date,
        "tags": ["folk", "music"],
    }
    assert row["terms"] == (
        "coverart@2026-11-22 (https://musicbrainz.org/doc/Cover_Art_Archive): training: unclear"
    )
    bare = [mbid("release-group", a) for a in server.catalogue.albums if not a.images]
    without = [key for key in rows if key in bare]
    assert {key for key, row in rows.items() if row["state"] == "skipped"} == set(without)
    assert f"left out {len(without)}: refused (404)" in done.stderr

    searches = server.journal.requests(SEARCH)
    assert [r.query["query"] for r in searches] == [
        '(primarytype:album) AND tag:"folk"',
        '(primarytype:album) AND tag:"Hip Hop"',
    ]
    agents = {r.headers["User-Agent"] for r in server.journal.requests()}
    assert len(agents) == 1
    assert agents.pop().endswith(" (https://pypi.org/project/ganctl/)")
    steps = {(r.server, r.status) for r in server.journal.requests() if r.path != SEARCH}
    assert steps == {("coverart", 307), ("coverart", 404), ("archive", 302), ("node", 200)}

    asked = len(server.journal)
    contact = ("--source.contact", "me@example.org")
    again = ganctl(*words, *contact)  # who asks changes no set; nothing is asked twice, 404s too
    assert again.stderr.splitlines()[1:] == done.stderr.splitlines()[1:]
    assert len(server.journal) == asked


@pytest.mark.slow
def test_one_request_a_second_by_the_servers_clock(ganctl: Ganctl) -> None:
    with CoverArt(Catalogue.make(240, odd=False)) as server:
        server.script.on(SEARCH, Status(503, retry_after=0), requests={2})
        server.script.on(SEARCH, Status(503), requests={4})
        words = ("--source.years", "1960-2023", "--source.contact", "https://example.org/me")
        done = ganctl(*fetching(server, *words))
        assert "240 pictures of 240 listed" in done.stderr
        searches = server.journal.requests(SEARCH)
        assert [r.status for r in searches] == [200, 503, 200, 503, 200]
        assert min(server.journal.gaps(SEARCH)) >= 1.0
        assert [r.query["offset"] for r in searches] == ["0", "100", "100", "200", "200"]
        assert all(r.headers["User-Agent"].endswith(" (https://example.org/me)") for r in searches)
        assert not server.journal.repeated(server="node")
        assert server.journal.most_at_once(server="coverart") > 1
        assert list(ganctl.rows("covers")) == groups(server)


def test_years_and_a_limit(server: CoverArt, ganctl: Ganctl) -> None:
    words = ("--source.years", "1960-1961", "--source.tags", "rock,jazz")
    plan = ganctl(*fetching(server, *words, "--source.limit", 1), "--dry-run", "--json")
    document = json.loads(plan.stdout)
    assert (document["items"], document["requests"], document["folder"]) == (2, 8, "covers")
    assert document["bytes"] == 2 * 15_625
    assert document["notes"] == [
        "2 requests to MusicBrainz, one a second: 0:00:02 (h:mm:ss) or more",
        "2 covers, if all have one, at the archive's pace: three requests each",
        "what has several of the tags is counted for each, and fetched once",
    ]
    assert [r.path for r in server.journal.requests()] == [SEARCH] * 2
    assert min(server.journal.gaps()) >= 1
    assert not (ganctl.folder / "covers").exists()
    words = ("--source.years", 1961, "--source.limit", 1, "--source.tags", "jazz")
    ganctl(*fetching(server, *words, "--source.label", "none"))
    (row,) = ganctl.rows("covers").values()
    assert row["key"] == groups(server, years=range(1961, 1962))[0]
    assert row["label"] is None
    assert min(server.journal.gaps(SEARCH)) >= 1  # between the two commands, too


def test_what_is_wrong_is_said_before_anything_is_asked(server: CoverArt, ganctl: Ganctl) -> None:
    for words, why in (
        ((), "these would be all albums there are: say which, with --source.tags"),
        (("--source.years", "1970-1960"), "years: not like 1975 or 1960-1979: '1970-1960'"),
        (("--source.contact", "me"), "contact: not an e-mail address or a web page: 'me'"),
        (("--source.size", "300"), "size: '300' is not one of 250, 500, 1200"),
        (("--source.coverart-url", "archive"), "coverart_url: not a web address: 'archive'"),
    ):
        done = ganctl(*fetching(server), *words, status=2)
        assert why in done.stderr
    assert not len(server.journal)
    assert not (ganctl.folder / "covers").exists()


def test_a_query_that_is_none_and_an_agent_that_is_not_liked(
    server: CoverArt, ganctl: Ganctl
) -> None:
    done = ganctl(*fetching(server, "--source.query", "tag:(jazz"), status=2)
    assert "MusicBrainz does not understand the search: tag:(jazz\n" in done.stderr
    server.script.on(SEARCH, Status(403), times=1)
    done = ganctl(*fetching(server, "--source.tags", "jazz", out="b"), status=1)
    assert "it answered 403: MusicBrainz refuses those who do not say who they are" in done.stderr
    assert "--source.contact" in done.stderr


def test_faults_of_the_search_end_it_and_it_goes_on(ganctl: Ganctl) -> None:
    with CoverArt(Catalogue.make(120, odd=False), interval=None) as server:
        words = fetching(server, "--source.years", "1960-2023")
        server.script.on(SEARCH, Html(), requests={2})
        done = ganctl(*words, status=1)
        assert "answered 'text/html', which is not JSON" in done.stderr
        assert len(ganctl.rows("covers")) == 100
        server.script.on(SEARCH, Status(503, retry_after=3600), times=1)
        server.script.on(SEARCH, Body(b'{"count": "many"}', "application/json"), requests={2})
        done = ganctl(*words, status=1)
        assert "asks to be left alone for 1:00:00" in done.stderr
        done = ganctl(*words, status=1)
        assert "MusicBrainz answered what is no list of release groups" in done.stderr
        done = ganctl(*words)
        assert "120 pictures of 120 listed" in done.stderr
        offsets = [r.query["offset"] for r in server.journal.requests(SEARCH)]
        assert offsets == ["0", "100", "100", "100", "100"]
        assert not server.journal.repeated(server="node")


def test_faults_of_the_archive(server: CoverArt, ganctl: Ganctl) -> None:
    keys = [k for k, a in zip(groups(server), server.catalogue.albums, strict=True) if a.images]
    front = "/release-group/{}/front-250".format

    def on(number: int, *faults: object) -> str:
        for fault in faults:
            server.script.on(front(keys[number]), fault, server="coverart")  # type: ignore[arg-type]
        return keys[number]

    invalid = on(0, Status(400))
    private = on(1, Redirect("http://10.0.0.1/a.jpg"))
    elsewhere = on(2, Html())
    loop = on(3, Redirect(server.coverart.url + front(keys[3]), 307))
    closed = on(4, Status(403))
    server.script.on(front(keys[5]), Status(503, retry_after=0), server="coverart", times=2)
    server.script.on("/1/items/*", Truncate(0.5), server="node", requests={1})
    server.script.on("/1/items/*", Drop(after=1000), server="node", requests={3})

    done = ganctl(*fetching(server, "--source.years", "1960-2023"), status=1)
    errors = {k: r["error"] for k, r in ganctl.rows("covers").items() if r["error"]}
    assert errors[invalid].startswith("refused (400): ")
    assert errors[private].endswith("10.0.0.1/a.jpg: an address in a private network")
    assert errors[elsewhere].endswith("a web page came, not a picture")
    assert errors[loop].endswith("more than 5 redirects")
    assert errors[closed].startswith("refused (403): ")
    assert sum("truncated" in error for error in errors.values()) == 1
    assert keys[5] not in errors
    assert "left out 1: refused (403)" in done.stderr
    assert "4 may come another time: run the same command again" in done.stderr
    assert not server.journal.repeated(server="node")
    stored = ganctl.pictures("covers")

    server.script.clear()
    asked = len(server.journal)
    ganctl(*fetching(server, "--source.years", "1960-2023"))
    new = {r.path for r in server.journal.requests("*/front-250") if r.number > asked}
    assert new == {front(key) for key in (private, elsewhere, loop, closed)}
    assert ganctl.pictures("covers").items() >= stored.items()


def test_tls_with_a_private_authority(authority: Authority, ganctl: Ganctl) -> None:
    with CoverArt(Catalogue.make(12), tls=authority) as server:
        words = fetching(server, "--source.tags", "jazz")
        refused = ganctl(*words, status=1)
        assert "its certificate is not trusted" in refused.stderr
        assert "SSL_CERT_FILE" in refused.stderr
        assert not len(server.journal)
        ganctl(*words, env=authority.environment())
        assert len(ganctl.pictures("covers")) == 2
        assert {r.secure for r in server.journal.requests()} == {True}
