"""Credentials of the source spotify, its tokens, and signing in."""

import json
import socket
import stat
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from servers import Body, Call, Delay, Drop, Spotify, Status
from spotify_runs import BROWSER, items, options, pages

from ganctl import GanctlError, Unreachable, UserError
from ganctl.fetch.answers import Later
from ganctl_web_sources import spotify_sign_in
from ganctl_web_sources.spotify import Spotify as Source
from ganctl_web_sources.spotify_auth import credentials

TOKEN = "/api/token"


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


def tokens(spotify: Spotify) -> list[str]:
    """The kinds of grant that were asked for."""
    return [request.form["grant_type"] for request in spotify.journal.requests(TOKEN)]


def kept(spotify: Spotify, home: Path) -> Path:
    return home / f".local/share/ganctl/spotify/{spotify.people.app.id}.json"


# What the app is known by


def test_credentials_stand_in_the_environment_or_a_file_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".config/ganctl/spotify.toml"
    with pytest.raises(UserError, match=f"no client id: set SPOTIFY_CLIENT_ID .*{file}"):
        credentials()
    file.parent.mkdir(parents=True)
    file.write_text('client_id = "abc"\nclient_secret = "from-the-file"\n')
    file.chmod(0o640)
    with pytest.raises(UserError, match=f"others can read it: chmod 600 {file}"):
        credentials()
    file.chmod(0o600)
    found = credentials()
    assert found.secret
    assert (found.client_id, found.secret.reveal()) == ("abc", "from-the-file")
    assert "from-the-file" not in f"{found} {found!r}"
    monkeypatch.setenv("SPOTIFY_CLIENT_ID", "abc")
    assert credentials() == found
    monkeypatch.setenv("SPOTIFY_CLIENT_ID", "another")
    assert credentials().secret is None
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "from-the-environment")
    assert credentials().client_id == "another"
    monkeypatch.setenv("SPOTIFY_CLIENT_ID", "../../hidden")
    with pytest.raises(UserError, match="not a client id") as error:
        credentials()
    assert "hidden" not in str(error.value)
    monkeypatch.delenv("SPOTIFY_CLIENT_ID")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    with pytest.raises(UserError, match=f"{tmp_path}/xdg/ganctl/spotify.toml"):
        credentials()
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert credentials().client_id == "abc"
    file.write_text("client_id = abc-hidden")
    with pytest.raises(UserError, match="not TOML") as error:
        credentials()
    assert "hidden" not in str(error.value)
    file.write_text("client_id = 17")
    with pytest.raises(UserError, match="client_id: not a text"):
        credentials()


def test_a_wrong_secret_is_said_once(spotify: Spotify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "0000-not-the-secret-0000")
    with pytest.raises(UserError, match="does not know this client id with this secret") as error:
        pages(spotify, query=("x",))
    assert len(spotify.journal) == 1
    shown = "".join(traceback.format_exception(error.value))
    assert "not-the-secret" not in shown


# Tokens that end


def test_a_token_that_ends_is_renewed_once(spotify: Spotify) -> None:
    rule = spotify.script.on("/v1/search", Call(spotify.people.revoke), requests={3, 8})
    found = pages(spotify, years="1960-1969")
    assert len(items(found)) == sum(a.year < 1970 for a in spotify.catalogue.albums)
    assert rule.hits == 2
    assert tokens(spotify) == ["client_credentials"] * 3
    assert len(spotify.journal.requests("/v1/search", status=401)) == 2


def test_a_fresh_token_that_is_refused_ends_it(spotify: Spotify) -> None:
    spotify.script.on("/v1/search", Status(401))
    with pytest.raises(UserError, match="refuses a token that it has just given"):
        pages(spotify, query=("x",))
    assert tokens(spotify) == ["client_credentials"] * 2


@pytest.mark.parametrize(
    "fault", [Status(429, "0"), Status(503), Status(500), Drop(), Drop(after=5), Delay(2)]
)
def test_the_accounts_service_may_stumble(spotify: Spotify, fault: Status) -> None:
    spotify.script.on(TOKEN, fault, times=1)
    assert items(pages(spotify, query=("genre:jazz",)))
    assert len(tokens(spotify)) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Status(429, "3600"), Later, r"asks to be left alone for 1:00:00 .*come back after"),
        (Status(503), Unreachable, r"/api/token: it answered 503 \(3 attempts\)"),
        (Status(418), GanctlError, r"gives no token: .*/api/token: it answered 418$"),
        (Body(b"<html>", "text/html"), Unreachable, r"'text/html', which is not JSON"),
        (Body(b'{"token": "s3cret-s3cret"}'), Unreachable, r"answered without a token"),
    ],
)
def test_the_accounts_service_may_be_down(
    spotify: Spotify, fault: Status, kind: type[GanctlError], said: str
) -> None:
    spotify.script.on(TOKEN, fault)
    with pytest.raises(kind, match=said) as error:
        pages(spotify, query=("x",))
    assert "s3cret" not in "".join(traceback.format_exception(error.value))
    assert {request.path for request in spotify.journal.requests()} == {TOKEN}


# Signing in


def test_signing_in_is_remembered(spotify: Spotify, tmp_path: Path) -> None:
    assert len(items(pages(spotify, mine=True))) == 60
    file = kept(spotify, tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    first = file.read_text()
    assert len(items(pages(spotify, mine=True))) == 60
    assert tokens(spotify) == ["authorization_code", "refresh_token"]
    assert file.read_text() == first  # the refresh gave no other
    spotify.people.rotates = True
    for _ in range(2):
        pages(spotify, mine=True)
    assert file.read_text() != first
    assert len(spotify.journal.requests("/authorize")) == 1
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    asked = spotify.journal.requests("/authorize")[0].query
    assert asked["redirect_uri"].startswith("http://127.0.0.1:")
    assert asked["code_challenge_method"] == "S256"
    assert set(asked["scope"].split()) == {
        "playlist-read-private",
        "playlist-read-collaborative",
    }
    forms = [request.form for request in spotify.journal.requests(TOKEN)]
    assert not any("client_secret" in form for form in forms)
    assert not spotify.journal.authorized("accounts")
    file.chmod(0o644)
    with pytest.raises(UserError, match=f"others can read it: chmod 600 {file}"):
        pages(spotify, mine=True)


def test_without_a_secret_the_user_asks(spotify: Spotify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPOTIFY_CLIENT_SECRET")
    assert items(pages(spotify, query=("genre:jazz",)))
    assert tokens(spotify) == ["authorization_code"]


@pytest.mark.parametrize("during", [False, True])
def test_a_sign_in_that_is_taken_back_is_forgotten(
    spotify: Spotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during: bool
) -> None:
    pages(spotify, mine=True)
    file = kept(spotify, tmp_path)

    def end() -> None:
        spotify.people.revoke()
        spotify.people.revoke_refresh()

    spotify.journal.clear()
    if during:
        spotify.script.on("/v1/playlists/*", Call(end), times=1)
    else:
        end()
    with pytest.raises(UserError, match=r"ended the sign-in.*run the command once in a terminal"):
        pages(spotify, mine=True)
    assert tokens(spotify) == ["refresh_token"] * (2 if during else 1)
    assert not file.exists()
    monkeypatch.delenv("BROWSER")
    with pytest.raises(UserError, match="nobody is signed in: to sign in, run the command once"):
        Source().check(options(spotify, mine=True))
    monkeypatch.setenv("BROWSER", BROWSER)
    Source().check(options(spotify, mine=True))
    spotify.script.clear()
    assert len(items(pages(spotify, mine=True))) == 60


@pytest.mark.parametrize("mode", ["auto", "dev2026"])
def test_who_cannot_sign_in_is_told_before(
    spotify: Spotify, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.delenv("BROWSER")
    Source().check(options(spotify, query=("x",)))
    if mode == "dev2026":
        with pytest.raises(UserError, match="nobody is signed in"):
            Source().check(options(spotify, playlists=("x" * 22,), mode=mode))
    else:
        Source().check(options(spotify, playlists=("x" * 22,), mode=mode))
    monkeypatch.delenv("SPOTIFY_CLIENT_SECRET")
    with pytest.raises(UserError, match="no client secret: set SPOTIFY_CLIENT_SECRET, or sign in"):
        Source().check(options(spotify, query=("x",)))
    with pytest.raises(UserError, match="to sign in, run the command once in a terminal"):
        pages(spotify, query=("x",))
    assert not len(spotify.journal)


def test_at_a_terminal_somebody_may_be_there(
    spotify: Spotify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BROWSER")
    monkeypatch.setattr("os.isatty", lambda descriptor: descriptor == 0)
    Source().check(options(spotify, mine=True))


def test_a_user_may_refuse(spotify: Spotify, tmp_path: Path) -> None:
    spotify.people.consents = False
    with pytest.raises(UserError, match="did not allow the app to read your playlists"):
        pages(spotify, mine=True)
    assert not tokens(spotify)
    assert not kept(spotify, tmp_path).exists()


def test_an_answer_to_another_question_is_refused(spotify: Spotify, tmp_path: Path) -> None:
    spotify.people.state = "another"
    with pytest.raises(GanctlError, match="its state differs"):
        pages(spotify, mine=True)
    assert not tokens(spotify)
    assert not kept(spotify, tmp_path).exists()


def test_a_wrong_redirect_uri_ends_in_words(
    spotify: Spotify, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spotify.people.app.redirect_uris = ("http://127.0.0.1:1/callback",)
    monkeypatch.setattr(spotify_sign_in, "PATIENCE", 0.6)
    with pytest.raises(GanctlError, match=r"nobody signed in to Spotify within 0\.01 minutes"):
        pages(spotify, mine=True)
    said = capsys.readouterr().err
    assert "the app has to list http://127.0.0.1:" in said
    assert f"{spotify.accounts.url}/authorize?client_id=" in said


def test_a_port_in_use_is_named(spotify: Spotify) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} on 127.0.0.1: .*--source.redirect-port"):
            pages(spotify, mine=True, redirect_port=port)


def browse(monkeypatch: pytest.MonkeyPatch, visit: Callable[[str, str], None]) -> None:
    """Have the browser do as the test says: (where to come back, state)."""

    def open_browser(address: str) -> bool:
        query = parse_qs(urlsplit(address).query)
        visit(query["redirect_uri"][0], query["state"][0])
        return True

    monkeypatch.setattr("webbrowser.open", open_browser)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_the_callback_is_on_this_machine_and_says_nothing(
    spotify: Spotify, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []
    done = threading.Event()

    def visit(back: str, state: str) -> None:
        port = urlsplit(back).port or 0
        idle = socket.create_connection(("127.0.0.1", port))  # as browsers do, to be quick later
        try:
            socket.create_connection(("127.0.0.2", port), timeout=1).close()
            seen.append("reached")
        except ConnectionRefusedError:
            seen.append("refused")
        seen.append(get(back.replace("/callback", "/favicon.ico"))[0])
        seen.append(get(f"{back}?code=c0de-made-up-here&state={state}"))
        idle.close()
        done.set()

    browse(monkeypatch, visit)
    with pytest.raises(GanctlError, match="does not take the sign-in"):  # nobody has such a code
        pages(spotify, mine=True)
    assert done.wait(5)
    assert seen == ["refused", 404, (200, "You may close this page and go back to ganctl.")]
    assert spotify.journal.requests(TOKEN)[0].form["code"] == "c0de-made-up-here"
    out, err = capfd.readouterr()
    assert "c0de" not in out + err


@pytest.mark.parametrize("query", ["", "?error=server_error&state={}", "?code=&state={}"])
def test_a_browser_may_bring_nothing(
    spotify: Spotify, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    browse(monkeypatch, lambda back, state: get(back + query.format(state)) and None)
    with pytest.raises(GanctlError, match=r"its state differs|without a code"):
        pages(spotify, mine=True)
    assert not tokens(spotify)


def test_each_app_has_a_sign_in_of_its_own(
    spotify: Spotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages(spotify, mine=True)
    spotify.people.app.id = "another"
    monkeypatch.setenv("SPOTIFY_CLIENT_ID", "another")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    pages(spotify, mine=True)
    assert tokens(spotify) == ["authorization_code"] * 2
    token = json.loads((tmp_path / "data/ganctl/spotify/another.json").read_text())
    assert token.keys() == {"refresh_token"}
