"""What the source spotify lists, in the three quota modes, whatever the service answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Body, Call, Catalogue, Entry, Spotify, Status, entries
from spotify_runs import BROWSER, items, notes, options, pages, web

from ganctl import GanctlError, Unreachable, UserError
from ganctl_web_sources.spotify import Spotify as Source

MODES = ("dev2026", "legacy-dev", "extended")


@pytest.fixture
def spotify(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Spotify]:
    with Spotify() as server:
        monkeypatch.setenv("SPOTIFY_CLIENT_ID", server.people.app.id)
        monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", server.people.app.secret)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("BROWSER", BROWSER)
        monkeypatch.setattr("os.isatty", lambda descriptor: False)
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        yield server
        for request in server.journal.requests("/v1/search"):
            assert int(request.query["limit"]) <= 10
            assert int(request.query["offset"]) <= 1000
        assert not server.journal.requests(server="elsewhere")


@pytest.mark.parametrize("mode", MODES)
def test_a_search_is_split_by_years(spotify: Spotify, mode: Any) -> None:
    spotify.mode = mode
    found = pages(spotify, query=("album:rivers", "genre:jazz"), years="1960-1964", label="year")
    years = range(1960, 1965)
    albums = [a for a in spotify.catalogue.albums if a.year in years]
    wanted = {a.id for a in albums if "rivers" in a.name.lower() or a.genre == "jazz"}
    assert items(found).keys() == wanted
    asked = spotify.journal.requests("/v1/search", status=200)
    assert [r.query["q"] for r in asked[:5]] == [f"album:rivers year:{year}" for year in years]
    # Spotify's filter `genre` is one for tracks.
    assert {(r.query["q"][:5], r.query["type"]) for r in asked} == {
        ("album", "album"),
        ("genre", "track"),
    }
    for item in items(found).values():
        album = spotify.catalogue.get(item.key)
        assert album is not None
        assert item.label == str(album.year)
        assert item.meta["link"] == f"https://open.spotify.com/album/{item.key}"
        assert item.meta["artists"] == [album.artist]
        assert item.meta["name"] == album.name
        assert item.meta["release_date"] == album.release_date
        assert f"year:{album.year}" in item.meta["query"]
    assert len(spotify.journal.requests("/api/token")) == 1


def test_a_search_ends_at_offset_1000(spotify: Spotify) -> None:
    spotify.catalogue = Catalogue.make(1500, (2000, 2000))
    found = pages(spotify, query=("year:2000",))
    assert list(items(found)) == [album.id for album in spotify.catalogue.albums[:1010]]
    assert notes(found) == [
        "the search 'year:2000' finds 1,500, of which Spotify shows the first 1,010: narrower "
        "searches find more (--source.years)"
    ]
    offsets = [int(r.query["offset"]) for r in spotify.journal.requests("/v1/search")]
    assert offsets == list(range(0, 1001, 10))


def test_the_widest_cover_is_taken(spotify: Spotify) -> None:
    albums = spotify.catalogue.albums[:30]
    found = items(pages(spotify, years="1960-1989"))
    largest = spotify.shapes.covers
    for album in albums:
        covers = largest(album)
        assert found[album.id].uri == (covers[0]["url"] if covers else "")
    assert not albums[5].images
    assert not albums[10].sizes_known

    def image(url: str, width: object) -> dict[str, object]:
        return {"url": url, "width": width, "height": width}

    narrow, wide = image("https://i.scdn.co/narrow", 64), image("https://i.scdn.co/wide", 640)
    unknown = image("https://i.scdn.co/unknown", None)
    shown = [[narrow, wide], [unknown, wide], [None, {"url": None}, narrow], None]
    album = {"external_urls": None, "artists": [None, {}], "name": None, "release_date": None}
    albums_there = [
        {**album, "id": f"{number:022}", "images": each} for number, each in enumerate(shown)
    ]
    listing = [None, *albums_there, {**album, "id": None, "images": [wide]}, {"id": ""}]
    answer = {"albums": {"items": listing, "total": len(listing), "next": None}}
    spotify.script.on("/v1/search", Body(json.dumps(answer).encode()))
    odd = items(pages(spotify, query=("odd",), label="decade"))
    assert [item.uri.rpartition("/")[2] for item in odd.values()] == [
        "wide",
        "unknown",
        "narrow",
        "",
    ]
    assert {item.label for item in odd.values()} == {None}


@pytest.mark.parametrize("mode", MODES)
def test_a_playlist_has_places_without_albums(spotify: Spotify, mode: Any) -> None:
    spotify.mode = mode
    found = pages(spotify, playlists=(spotify.mine.id,), label="playlist")
    kinds = [entry.kind for entry in spotify.mine.entries]
    assert {"null item", "null entry", "local", "episode"} < set(kinds)
    wanted = dict.fromkeys(e.album.id for e in spotify.mine.entries if e.album)
    assert list(items(found)) == list(wanted)  # once each, though two stand there twice
    assert {item.label for item in items(found).values()} == {"Mine"}
    assert not notes(found)


@pytest.mark.parametrize(("mode", "readable"), [("dev2026", 0), ("legacy-dev", 1), ("extended", 2)])
@pytest.mark.parametrize("told", [True, False])
def test_playlists_that_are_refused_are_told(
    spotify: Spotify, mode: Any, readable: int, told: bool
) -> None:
    spotify.mode = mode
    lists = [spotify.others, spotify.editorial, spotify.private]
    asked = mode if told and mode != "dev2026" else "auto"
    found = pages(spotify, playlists=tuple(each.id for each in lists), mode=asked)
    wanted = dict.fromkeys(e.album.id for each in lists[:readable] for e in each.entries if e.album)
    assert list(items(found)) == list(wanted)
    said = notes(found)
    assert [note.split()[1] for note in said] == [each.id for each in lists[readable:]]
    if mode == "dev2026":
        assert "(403): only its owner and collaborators may read it" in said[0]
    assert "(404): private, gone, or one of Spotify's own" in said[-1]
    if told and mode == "legacy-dev":
        assert not spotify.journal.requests("/v1/playlists/*/items")
    elif mode != "dev2026":
        assert not spotify.journal.requests("/v1/playlists/*/tracks", status=200)


@pytest.mark.parametrize("mode", ["auto", "dev2026"])
def test_a_user_reads_their_own_and_shared_playlists(spotify: Spotify, mode: Any) -> None:
    both = (spotify.shared.id, spotify.others.id)
    found = pages(spotify, playlists=both, mode=mode)
    assert len(items(found)) == 30
    (said,) = notes(found)
    assert said.startswith(f"playlist {spotify.others.id} is left out (403)")
    assert "sign" not in said
    assert len(spotify.journal.requests("/authorize")) == 1
    everything = pages(spotify, mine=True)
    both = [e.album.id for p in (spotify.mine, spotify.shared) for e in p.entries if e.album]
    assert list(items(everything)) == list(dict.fromkeys(both))


def test_where_nobody_can_sign_in_it_is_said(
    spotify: Spotify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BROWSER")
    (said,) = notes(pages(spotify, playlists=(spotify.shared.id,)))
    assert "(403)" in said
    assert said.endswith("; whoever signs in (--source.mode dev2026) may read their own")


@pytest.mark.parametrize("naming", ["item", "track", "both"])
def test_old_and_new_names_are_read(spotify: Spotify, naming: Any) -> None:
    spotify.mode, spotify.naming = "extended", naming
    assert len(items(pages(spotify, playlists=(spotify.others.id,)))) == 40


def test_links_to_other_hosts_are_not_followed(spotify: Spotify) -> None:
    spotify.mode, spotify.next_elsewhere = "extended", True
    long = spotify.add_playlist("Long", entries(spotify.catalogue.albums[:120]))
    found = items(pages(spotify, query=("genre:rock",), playlists=(long.id,)))
    rock = {album.id for album in spotify.catalogue.albums if album.genre == "rock"}
    assert found.keys() == rock | {album.id for album in spotify.catalogue.albums[:120]}
    assert len(items(pages(spotify, mine=True))) == 120
    assert not spotify.journal.authorized("images")


def test_a_playlist_shrinks_while_it_is_read(spotify: Spotify) -> None:
    spotify.mode = "extended"
    long = spotify.add_playlist("Long", entries(spotify.catalogue.albums[:160]))
    there = [entry.album.id for entry in long.entries if entry.album]
    path = f"/v1/playlists/{long.id}/items"
    spotify.script.on(path, Call(lambda: long.shrink(30)), requests={2})
    spotify.script.on(path, Call(lambda: long.entries.__delitem__(slice(-40, None))), requests={4})
    found = items(pages(spotify, playlists=(long.id,)))
    # The first thirty had been read; so had ten of the last forty.
    assert [key for key in there if key not in found] == there[-30:]
    offsets = [int(r.query["offset"]) for r in spotify.journal.requests(path)]
    assert offsets == [0, 50, 20, 70, 30, 80]

    spotify.journal.clear()
    spotify.script.clear()
    spotify.script.on(path, Call(long.entries.clear), requests={2})
    assert len(items(pages(spotify, playlists=(long.id,)))) == 50
    assert len(spotify.journal.requests(path)) <= 3


def test_the_listing_goes_on_from_any_page(spotify: Spotify) -> None:
    values: dict[str, Any] = {
        "query": ("genre:jazz",),
        "years": "1960-1980",
        "playlists": (spotify.others.id,),
        "mine": True,
    }
    spotify.mode = "extended"
    whole = pages(spotify, **values)
    assert {name[:8] for name, _ in (json.loads(p.cursor or "") for p in whole)} == {
        "search:g",
        "playlist",
    }
    for number, page in enumerate(whole, 1):
        assert pages(spotify, page.cursor, **values) == whole[number:]


def test_a_playlist_that_is_gone_does_not_end_the_listing(spotify: Spotify) -> None:
    spotify.mode = "extended"
    cursor = json.dumps(["playlist:" + "x" * 22, [50, 80]])
    assert len(items(pages(spotify, cursor, query=("x",), mine=True))) == 60


def test_what_is_no_answer_ends_the_listing_in_words(spotify: Spotify) -> None:
    for body in (b"[]", b'{"albums": null}', b'{"albums": {"items": {}, "total": 3}}', b"{"):
        spotify.script.clear()
        spotify.script.on("/v1/search", Body(body, "application/json"))
        with pytest.raises(Unreachable, match=r"not an answer of the Web API|not JSON"):
            pages(spotify, query=("x",))
    spotify.script.clear()
    with pytest.raises(GanctlError, match="cursor is damaged"):
        pages(spotify, "nonsense", query=("x",))


@pytest.mark.parametrize(
    ("status", "said"), [(400, "look at --source.query"), (403, "owner needs Premium")]
)
def test_a_search_that_is_refused_says_why(spotify: Spotify, status: int, said: str) -> None:
    spotify.script.on("/v1/search", Status(status))
    with pytest.raises(UserError, match=rf"the search 'x': .*{status}: .*{said}"):
        pages(spotify, query=("x",))


def test_an_app_that_may_nothing_says_why(spotify: Spotify) -> None:
    spotify.forbidden = "User not registered in the Developer Dashboard"
    with pytest.raises(UserError, match=r"your playlists: .*403: .*users that the dashboard lists"):
        pages(spotify, mine=True)


def test_labels_say_what_found_the_album(spotify: Spotify) -> None:
    queries = ('genre:"hip hop"', "genre:jazz year:1960-1989")
    found = items(pages(spotify, query=queries, label="genre"))
    for item in found.values():
        album = spotify.catalogue.get(item.key)
        assert album is not None
        assert item.label == album.genre
    assert {item.label for item in found.values()} == {"hip hop", "jazz"}
    by_query = items(pages(spotify, query=queries, label="query"))
    assert {item.label for item in by_query.values()} == set(queries)
    decades = items(pages(spotify, years="1968-1971", label="decade"))
    assert {item.label for item in decades.values()} == {"1960s", "1970s"}


def test_a_plan_takes_a_request_for_each_query(spotify: Spotify) -> None:
    spotify.mode = "extended"
    wanted = options(
        spotify,
        query=("genre:jazz", "genre:rock"),
        years="1960-1989",
        playlists=(spotify.others.id, spotify.private.id),
    )
    with web() as client:
        plan = Source().plan(wanted, client)
    albums = [a for a in spotify.catalogue.albums if 1960 <= a.year <= 1989]
    count = sum(a.genre in ("jazz", "rock") for a in albums) + 40
    assert plan.items == count
    assert plan.bytes == count * 100_000
    assert plan.requests is not None
    spotify.journal.clear()
    pages(spotify, query=wanted.query, years=wanted.years, playlists=wanted.playlists)
    needed = len(spotify.journal) + count
    assert needed * 0.8 <= plan.requests <= needed * 1.3
    assert any("100,000 for each cover are assumed" in note for note in plan.notes)
    assert any(spotify.private.id in note for note in plan.notes)
    assert any("about 1 min" in note for note in plan.notes)
    with web() as client:
        assert Source().plan(options(spotify, years="1960-2020", limit=12), client).items == 12
        own = Source().plan(options(spotify, mine=True), client)
        assert own.items == len(spotify.mine.entries) + len(spotify.shared.entries)
        shared = options(spotify, playlists=(spotify.shared.id,))
        spotify.mode = "dev2026"
        assert Source().plan(shared, client).items == len(spotify.shared.entries)


def test_an_entry_alone_is_read(spotify: Spotify) -> None:
    spotify.mode = "extended"
    short = spotify.add_playlist("Short", [Entry("null entry"), Entry("local"), Entry("episode")])
    assert not items(pages(spotify, playlists=(short.id,)))
    empty = spotify.add_playlist("Empty", [])
    assert not items(pages(spotify, playlists=(empty.id,)))
