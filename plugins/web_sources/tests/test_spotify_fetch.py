"""`ganctl fetch --source spotify`: the real command, against real servers on loopback."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers import (
    Authority,
    Catalogue,
    Drop,
    Html,
    Length,
    Loop,
    Redirect,
    Spotify,
    Status,
    Truncate,
    entries,
)
from spotify_runs import Command, tiny


@pytest.fixture
def spotify() -> Iterator[Spotify]:
    with Spotify(Catalogue.make(100, (1960, 1964), odd=False)) as server:
        server.covers = tiny  # type: ignore[assignment]
        yield server


@pytest.fixture
def ganctl(spotify: Spotify, tmp_path: Path) -> Command:
    return Command(tmp_path, spotify)


def test_without_the_terms_nothing_is_asked(ganctl: Command, spotify: Spotify) -> None:
    secret = ganctl.env.pop("SPOTIFY_CLIENT_SECRET")
    client_id = ganctl.env.pop("SPOTIFY_CLIENT_ID")
    bare = ganctl(terms=False)
    assert bare.returncode == 2
    for said in (
        *("to train a machine learning or AI model", "IV.2.1.a", "III.14", "IV.3.2"),
        *("https://developer.spotify.com/terms", "https://developer.spotify.com/policy"),
        "--accept-terms spotify@2025-05-15 --permission",
        *("separate permission", "--source coverart"),
    ):
        assert said in bare.stderr
    ganctl.env |= {"SPOTIFY_CLIENT_ID": client_id, "SPOTIFY_CLIENT_SECRET": secret}
    search = ("--source.years", "1960")
    half = ganctl("--accept-terms", "spotify@2025-05-15", *search, terms=False)
    old = ganctl("--accept-terms", "spotify@2024-01-01", "--permission", "x", *search, terms=False)
    assert (half.returncode, old.returncode) == (2, 2)
    assert "https://developer.spotify.com/terms" in old.stderr
    assert ganctl("--dry-run", *search, terms=False).returncode == 2
    assert not len(spotify.journal)
    assert not (ganctl.folder / "covers").exists()


def test_covers_come_with_the_way_back(ganctl: Command, spotify: Spotify) -> None:
    spotify.catalogue = Catalogue.make(60, (1960, 1963))
    spotify.mode = "legacy-dev"
    where = ("--source.years", "1960-1963", "--source.playlists", spotify.editorial.id)
    done = ganctl(*where, "--source.label", "year")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "covers\n"
    assert f"playlist {spotify.editorial.id} is left out (404)" in done.stderr
    assert "left out 3: unreadable" in done.stderr
    assert "the album has no cover" in done.stderr
    rows = ganctl.rows()
    albums = sorted(spotify.catalogue.albums, key=lambda album: album.year)
    assert [row["key"] for row in rows] == [album.id for album in albums]
    for row, album in zip(rows, albums, strict=True):
        meta = json.loads(row["meta"])
        assert meta["link"] == f"https://open.spotify.com/album/{album.id}"
        assert meta["query"] == f"year:{album.year}"
        assert row["label"] == str(album.year)
        assert "spotify@2025-05-15" in row["terms"]
        assert "the labels, 2026-01-01" in row["terms"]
    assert ganctl.kept() == {
        row["file"]: tiny(album.cover, 640, album.quality)
        for row, album in zip(rows, albums, strict=True)
        if row["state"] == "stored"
    }
    assert not spotify.journal.authorized("images")
    assert len(spotify.journal.requests(server="images")) == sum(bool(row["uri"]) for row in rows)
    before = len(spotify.journal)
    again = ganctl(*where, "--source.label", "year")
    assert again.returncode == 0
    assert f"playlist {spotify.editorial.id} is left out (404)" in again.stderr
    assert len(spotify.journal) == before


def test_a_dry_run_counts(ganctl: Command, spotify: Spotify) -> None:
    told = ganctl("--dry-run", "--source.years", "1960-1964")
    assert told.returncode == 0, told.stderr
    assert "spotify: about 100 pictures, about 10 MB, about 11" in told.stdout
    assert "100,000 for each cover are assumed" in told.stdout
    assert [request.path for request in spotify.journal.requests()] == ["/api/token", "/v1/search"]


def test_mistakes_are_told_in_a_line(ganctl: Command, spotify: Spotify) -> None:
    nothing = ganctl()
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert "say what to fetch: --source.query" in nothing.stderr
    climbing = ganctl("--source.playlists", "../../me")
    assert climbing.returncode == 2
    assert "not a playlist" in climbing.stderr
    alone = ganctl("--source.mine")
    assert alone.returncode == 2
    assert "run the command once in a terminal" in alone.stderr
    assert not len(spotify.journal)
    ganctl.env["SPOTIFY_CLIENT_SECRET"] = "0" * 32
    wrong = ganctl("--source.years", "1960")
    assert (wrong.returncode, len(spotify.journal)) == (2, 1)
    assert "does not know this client id with this secret" in wrong.stderr


@pytest.mark.slow
def test_what_passes_is_waited_for(ganctl: Command, spotify: Spotify) -> None:
    soon = formatdate(time.time() + 4, usegmt=True)
    faults = (
        *(Status(429, "0"), Status(429, "soon"), Status(429), Status(429, "2"), Status(429, soon)),
        *(Status(500), Drop(), Drop(after=50), Length(100), Status(503, "-1")),
    )
    for number, fault in enumerate(faults):
        spotify.script.on("/v1/search", fault, requests={2 * number + 1})
        spotify.script.on("/image/*", fault, requests={4 * number + 9})
    done = ganctl("--source.years", "1960-1964")
    assert done.returncode == 0, done.stderr
    assert "100 pictures of 100 listed" in done.stderr
    assert len(ganctl.kept()) == 100
    assert len(spotify.journal.repeated(server="images")) == 1  # that of the wrong length
    searches = spotify.journal.requests("/v1/search")
    assert searches[7].time - searches[6].time >= 2
    assert len(searches) == 20


def test_what_does_not_pass_is_told_and_loses_nothing(ganctl: Command, spotify: Spotify) -> None:
    faults = (Html(), Loop(), Redirect("http://10.0.0.1/cover"), Status(404), Truncate())
    for album, fault in zip(spotify.catalogue.albums[::10], faults, strict=False):
        spotify.script.on(urlsplit(spotify.shapes.covers(album)[0]["url"]).path, fault)
    where = ("--source.years", "1960-1964")
    first = ganctl(*where)
    assert first.returncode == 1, first.stderr
    assert len(ganctl.kept()) == 95
    states = Counter(row["state"] for row in ganctl.rows())
    assert states == {"stored": 95, "failed": 3, "skipped": 2}
    errors = " ".join(row["error"] or "" for row in ganctl.rows())
    for said in (
        "an address in a private network",
        "it answered 404",
        "a web page came, not a picture",
        "redirects",
    ):
        assert said in errors
    for said in ("unreachable", "refused (404)", "unreadable", "3 may come another time"):
        assert said in first.stderr
    stored = {row["uri"] for row in ganctl.rows() if row["state"] == "stored"}
    spotify.script.clear()
    spotify.journal.clear()
    second = ganctl(*where)
    assert second.returncode == 0, second.stderr
    asked = {spotify.images.url + r.target for r in spotify.journal.requests(server="images")}
    assert len(asked) == 3
    assert not asked & stored
    assert len(ganctl.kept()) == 98
    assert not spotify.journal.requests(server="api")


def test_a_pause_of_an_hour_ends_it_until_then(ganctl: Command, spotify: Spotify) -> None:
    spotify.script.on("/v1/search", Status(429, 3600), requests={6})
    where = ("--source.years", "1960-1964")
    first = ganctl(*where)
    assert first.returncode == 1
    assert " asks to be left alone for 1:00:00 (h:mm:ss): come back after" in first.stderr
    assert "what is fetched is kept, and the same command goes on" in first.stderr
    searched = [r.target for r in spotify.journal.requests("/v1/search", status=200)]
    assert len(searched) == 5
    second = ganctl(*where)
    assert second.returncode == 0, second.stderr
    assert len(ganctl.kept()) == 100
    assert not spotify.journal.repeated(server="images")
    assert not spotify.journal.repeated("/v1/search")


@pytest.mark.slow
def test_a_service_that_stays_down_ends_it(ganctl: Command, spotify: Spotify) -> None:
    rule = spotify.script.on("/v1/search", Status(500), requests=lambda n: n > 4)
    where = ("--source.years", "1960-1964")
    first = ganctl(*where)
    assert first.returncode == 1
    assert "/v1/search: it answered 500 (6 attempts)" in first.stderr
    assert rule.hits == 6
    spotify.script.clear()
    assert ganctl(*where).returncode == 0
    assert len(ganctl.kept()) == 100
    assert not spotify.journal.repeated(server="images")
    assert not spotify.journal.repeated("/v1/search")


def test_a_limit_is_of_albums(ganctl: Command, spotify: Spotify) -> None:
    spotify.mode = "extended"
    twice = [spotify.catalogue.albums[n // 3] for n in range(90)]
    long = spotify.add_playlist("Long", entries(twice))
    done = ganctl("--source.playlists", long.id, "--source.limit", "25")
    assert done.returncode == 0, done.stderr
    assert [row["key"] for row in ganctl.rows()] == [a.id for a in spotify.catalogue.albums[:25]]


def test_signing_in_can_be_broken_off(ganctl: Command, spotify: Spotify) -> None:
    ganctl.env["BROWSER"] = "true"
    process = ganctl.start("--source.mine", "--source.years", "1960")
    assert process.stderr
    for line in process.stderr:
        if line.startswith(f"{spotify.accounts.url}/authorize?client_id="):
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 3, told
    assert "the same command goes on" in told
    assert not spotify.journal.requests(server="accounts")


def test_a_token_does_not_follow_a_redirect(ganctl: Command, spotify: Spotify) -> None:
    to = f"{spotify.elsewhere.url}/v1/search?q=year:1960&type=album"
    spotify.script.on("/v1/search", Redirect(to), server="api")
    done = ganctl("--source.years", "1960")
    assert done.returncode == 2
    assert "refuses a token" in done.stderr
    assert spotify.journal.requests(server="elsewhere")
    assert not spotify.journal.authorized("elsewhere")


def test_over_tls_with_an_authority_of_ones_own(authority: Authority, tmp_path: Path) -> None:
    with Spotify(Catalogue.make(20, (1960, 1960), odd=False), tls=authority) as spotify:
        spotify.covers = tiny  # type: ignore[assignment]
        ganctl = Command(tmp_path, spotify)
        where = ("--source.years", "1960")
        stranger = ganctl(*where)
        assert stranger.returncode == 1
        assert "its certificate is not trusted" in stranger.stderr
        assert "SSL_CERT_FILE" in stranger.stderr
        assert not len(spotify.journal)
        ganctl.env |= authority.environment()
        done = ganctl(*where)
        assert done.returncode == 0, done.stderr
        assert len(ganctl.kept()) == 20
        assert all(request.secure for request in spotify.journal.requests())
