"""The Spotify server speaks Spotify's protocol: spotipy, with other base URLs, works with it."""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import servers
from PIL import Image
from servers import Authority, Call, Catalogue, Spotify, Status

spotipy = pytest.importorskip("spotipy")
from spotipy.cache_handler import MemoryCacheHandler  # noqa: E402
from spotipy.oauth2 import (  # noqa: E402
    SpotifyClientCredentials,
    SpotifyOAuth,
    SpotifyOauthError,
    SpotifyPKCE,
)

Client = Any
CALLBACK = "http://127.0.0.1:8123/callback"


@pytest.fixture
def server() -> Iterator[Spotify]:
    with Spotify() as server:
        yield server


@pytest.fixture
def by_app(monkeypatch: pytest.MonkeyPatch) -> Callable[[Spotify], Client]:
    """spotipy with client credentials."""

    def client(server: Spotify, secret: str | None = None) -> Client:
        monkeypatch.setattr(
            SpotifyClientCredentials, "OAUTH_TOKEN_URL", f"{server.accounts.url}/api/token"
        )
        app = server.people.app
        manager = SpotifyClientCredentials(
            app.id, secret or app.secret, cache_handler=MemoryCacheHandler()
        )
        return _client(server, manager)

    return client


@pytest.fixture
def by_user(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Client]:
    """spotipy with PKCE, signed in."""

    def client(server: Spotify, scope: str = "playlist-read-private") -> Client:
        monkeypatch.setattr(SpotifyPKCE, "OAUTH_TOKEN_URL", f"{server.accounts.url}/api/token")
        monkeypatch.setattr(SpotifyPKCE, "OAUTH_AUTHORIZE_URL", f"{server.accounts.url}/authorize")
        manager = SpotifyPKCE(
            server.people.app.id,
            CALLBACK,
            state="xyz",
            scope=scope,
            cache_handler=MemoryCacheHandler(),
        )
        back = parse_qs(urlsplit(_follow(manager.get_authorize_url())).query)
        assert back["state"] == ["xyz"]
        manager.get_access_token(back["code"][0], check_cache=False)
        return _client(server, manager)

    return client


def _client(server: Spotify, manager: Any) -> Client:
    client = spotipy.Spotify(auth_manager=manager, retries=0, status_retries=0)
    client.prefix = f"{server.api.url}/v1/"
    return client


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def _follow(url: str) -> str:
    """Where a redirect leads."""
    try:
        with urllib.request.build_opener(_Stay).open(url, timeout=5) as page:
            raise AssertionError(page.read())
    except urllib.error.HTTPError as answer:
        with answer:
            if answer.code == 303:
                return answer.headers["Location"]
            raise AssertionError(answer.read().decode()) from None


def _every(client: Client, page: dict[str, Any] | None, key: str | None = None) -> list[Any]:
    items = []
    while page:
        page = page[key] if key else page
        items += page["items"]
        page = client.next(page)
    return items


def test_a_search_is_paged(server: Spotify, by_app: Callable[..., Client]) -> None:
    client = by_app(server)
    first = client.search("genre:jazz year:1960-1999", type="album")
    found = _every(client, first, "albums")
    wanted = [a for a in server.catalogue.albums if a.genre == "jazz" and a.year < 2000]
    assert [album["id"] for album in found] == [album.id for album in wanted]
    assert first["albums"]["total"] == len(wanted) > 10
    searches = server.journal.requests("/v1/search")
    assert [entry.query["offset"] for entry in searches] == [
        str(offset) for offset in range(0, len(wanted), 10)
    ]
    assert len(server.journal.requests("/api/token")) == 1
    one = client.album(found[0]["id"])
    assert one["name"] == found[0]["name"]
    assert one["tracks"]["items"]
    named = client.search(f'album:"{wanted[0].name}" artist:"{wanted[0].artist}"', type="album")
    assert named["albums"]["items"][0]["id"] == wanted[0].id
    assert client.search("nothing of the kind", type="album")["albums"]["total"] == 0


def test_a_search_has_limits(by_app: Callable[..., Client]) -> None:
    with Spotify(Catalogue.make(1500, (2000, 2000))) as server:
        client = by_app(server)
        for arguments in ({"limit": 11}, {"offset": 1001}, {"limit": 0}):
            with pytest.raises(spotipy.SpotifyException) as caught:
                client.search("year:2000", type="album", **arguments)
            assert caught.value.http_status == 400
        last = client.search("year:2000", type="album", offset=1000)["albums"]
        assert (len(last["items"]), last["next"], last["total"]) == (10, None, 1500)
        assert len(client.search("year:2000", limit=None, type="album")["albums"]["items"]) == 5
        server.mode = "extended"
        assert len(client.search("year:2000", limit=50, type="album")["albums"]["items"]) == 50


def test_a_wrong_secret_and_a_lost_token(server: Spotify, by_app: Callable[..., Client]) -> None:
    with pytest.raises(SpotifyOauthError, match="invalid_client"):
        by_app(server, "wrong").search("a", type="album")
    client = by_app(server)
    server.script.on("/v1/search", Call(server.people.revoke), requests={2})
    client.search("year:1990", type="album")
    with pytest.raises(spotipy.SpotifyException) as caught:
        client.search("year:1990", type="album")
    assert caught.value.http_status == 401
    server.script.on("/v1/search", Status(429, retry_after=7))
    with pytest.raises(spotipy.SpotifyException) as caught:
        client.search("year:1990", type="album")
    assert caught.value.http_status == 429


def test_own_playlists_through_pkce(server: Spotify, by_user: Callable[..., Client]) -> None:
    client = by_user(server)
    assert client.me()["id"] == "listener"
    listed = _every(client, client.current_user_playlists())
    assert [p["name"] for p in listed] == ["Mine", "Shared"]
    entries = _every(client, client.playlist_items(server.mine.id))
    assert len(entries) == len(server.mine.entries) == 66
    assert entries.count(None) == 1
    items = [entry["item"] for entry in entries if entry]
    assert items.count(None) == 1
    assert {item["type"] for item in items if item} == {"track", "episode"}
    assert [item["album"]["images"] for item in items if item and item.get("is_local")] == [[]]
    assert any(entry and entry["added_at"] is None for entry in entries)
    albums = [i["album"]["id"] for i in items if i and i["type"] == "track" and i["id"]]
    assert len(albums) == 62
    assert len(set(albums)) == 60
    few = client.playlist_items(server.mine.id, fields="total,items(item(album(id,!name)))")
    assert set(few) == {"total", "items"}
    assert few["items"][0] == {"item": {"album": {"id": server.catalogue.albums[0].id}}}
    only = client.playlist_items(server.mine.id, additional_types=("track",))
    assert not any(e and e["item"] and e["item"]["type"] == "episode" for e in only["items"])
    without = by_user(server, scope="")
    assert [p["name"] for p in _every(without, without.current_user_playlists())] == ["Shared"]


def test_what_each_mode_allows(server: Spotify, by_user: Callable[..., Client]) -> None:
    client = by_user(server)

    def status(playlist: Any, path: str = "items") -> int:
        try:
            client._get(f"playlists/{playlist.id}/{path}")
        except spotipy.SpotifyException as error:
            return int(error.http_status)
        return 200

    playlists = (server.mine, server.shared, server.others, server.private, server.editorial)
    assert [status(p) for p in playlists] == [200, 200, 403, 404, 404]
    assert status(server.mine, "tracks") == 403
    assert "items" not in client.playlist(server.others.id)
    assert client.playlist(server.mine.id)["items"]["total"] == 66
    server.mode = "legacy-dev"
    assert [status(p) for p in playlists] == [200, 200, 200, 404, 404]
    assert status(server.mine, "tracks") == 200
    assert "item" not in client.playlist_items(server.others.id)["items"][0]
    assert "track" in client.playlist_items(server.others.id)["items"][0]
    server.mode = "extended"
    assert [status(p) for p in playlists] == [200, 200, 200, 404, 200]
    assert {"item", "track"} <= client.playlist_items(server.editorial.id)["items"][0].keys()
    server.forbidden = "Active premium subscription required for the owner of the app"
    assert status(server.mine) == 403
    for wrong in ("nothing", "..%2Fme"):
        with pytest.raises(spotipy.SpotifyException):
            client._get(f"playlists/{wrong}")


@pytest.mark.parametrize("rotates", [True, False])
def test_a_token_is_refreshed(
    server: Spotify, by_user: Callable[..., Client], rotates: bool
) -> None:
    server.people.life = 30  # which spotipy takes for nearly over
    server.people.rotates = rotates
    client = by_user(server)
    before = client.auth_manager.cache_handler.get_cached_token()
    assert client.me()["id"] == "listener"
    after = client.auth_manager.cache_handler.get_cached_token()
    assert after["access_token"] != before["access_token"]
    assert (after["refresh_token"] != before["refresh_token"]) == rotates
    kinds = [entry.form["grant_type"] for entry in server.journal.requests("/api/token")]
    assert kinds[:2] == ["authorization_code", "refresh_token"]
    first, *_ = server.journal.requests("/api/token")
    assert first.form["code_verifier"]
    for token in (before, after):
        assert {token["access_token"], token["refresh_token"]} <= server.people.secrets()
    manager = client.auth_manager
    if rotates:
        with pytest.raises(SpotifyOauthError, match="invalid_grant"):
            manager.refresh_access_token(before["refresh_token"])
    else:
        manager.refresh_access_token(before["refresh_token"])


def test_a_dead_refresh_token(server: Spotify, by_user: Callable[..., Client]) -> None:
    server.people.life = 30
    client = by_user(server)
    server.people.revoke_refresh()
    with pytest.raises(SpotifyOauthError, match="invalid_grant"):
        client.me()


def test_a_code_serves_once_and_its_verifier_must_fit(
    server: Spotify, by_user: Callable[..., Client]
) -> None:
    manager = by_user(server).auth_manager
    code = parse_qs(urlsplit(_follow(manager.get_authorize_url())).query)["code"][0]
    manager.get_access_token(code, check_cache=False)
    with pytest.raises(SpotifyOauthError, match="invalid_grant"):
        manager.get_access_token(code, check_cache=False)
    code = parse_qs(urlsplit(_follow(manager.get_authorize_url())).query)["code"][0]
    manager.code_verifier = "x" * 50
    with pytest.raises(SpotifyOauthError, match="code_verifier was incorrect"):
        manager.get_access_token(code, check_cache=False)
    server.people.consents = False
    assert "error=access_denied" in _follow(manager.get_authorize_url())
    server.people.state = "forged"
    assert "state=forged" in _follow(manager.get_authorize_url())
    manager.redirect_uri = "http://localhost:8123/callback"
    with pytest.raises(AssertionError, match="Insecure redirect URI"):
        _follow(manager.get_authorize_url())


def test_the_authorization_code_with_a_secret(
    server: Spotify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SpotifyOAuth, "OAUTH_TOKEN_URL", f"{server.accounts.url}/api/token")
    monkeypatch.setattr(SpotifyOAuth, "OAUTH_AUTHORIZE_URL", f"{server.accounts.url}/authorize")
    app = server.people.app
    manager = SpotifyOAuth(app.id, app.secret, CALLBACK, cache_handler=MemoryCacheHandler())
    code = parse_qs(urlsplit(_follow(manager.get_authorize_url())).query)["code"][0]
    manager.get_access_token(code, as_dict=False, check_cache=False)
    assert _client(server, manager).me()["id"] == "listener"


def test_a_window_of_requests(server: Spotify, by_app: Callable[..., Client]) -> None:
    server.rate = (3, 1.0)
    client = by_app(server)
    for _ in range(3):
        client.search("year:1990", type="album")
    with pytest.raises(spotipy.SpotifyException) as caught:
        client.search("year:1990", type="album")
    assert caught.value.http_status == 429
    (refused,) = server.journal.requests("/v1/search", status=429)
    time.sleep(max(0.0, refused.time + 1.05 - time.monotonic()))
    client.search("year:1990", type="album")


def test_next_may_lead_elsewhere_and_lists_shrink(
    server: Spotify, by_user: Callable[..., Client]
) -> None:
    client = by_user(server)
    server.next_elsewhere = True
    _every(client, client.playlist_items(server.mine.id))
    assert len(server.journal.authorized("elsewhere")) == 1  # spotipy sends the token there
    server.next_elsewhere = False
    server.script.on("*/items", Call(lambda: server.mine.shrink(20)), requests={2})
    assert len(_every(client, client.playlist_items(server.mine.id))) == 50  # 66 − 16 unseen
    assert client.playlist_items(server.mine.id)["total"] == 46


def test_pictures_are_real_and_always_the_same(
    server: Spotify, by_app: Callable[..., Client]
) -> None:
    found = by_app(server).search("year:1960-1970", type="album")["albums"]["items"]
    assert [a["images"] == [] for a in found] == [False] * 5 + [True] + [False] * 4
    assert found[0]["images"][0]["width"] == 640
    sizes = [(i["width"], i["height"]) for i in found[0]["images"]]
    assert sizes == [(640, 640), (300, 300), (64, 64)]
    for image in found[0]["images"]:
        with urllib.request.urlopen(image["url"], timeout=5) as answer:
            content = answer.read()
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (image["width"],) * 2)
            picture.load()
    assert not server.journal.authorized("images")
    with Spotify() as again:
        url = found[0]["images"][0]["url"].replace(server.images.url, again.images.url)
        with urllib.request.urlopen(url, timeout=5) as answer:
            first = server.covers(0)
            assert answer.read() == first
    assert len({server.covers(seed, 64) for seed in range(50)}) == 50


def test_a_browser_signs_in(server: Spotify, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, spotipy\n"
        "from spotipy.cache_handler import MemoryCacheHandler\n"
        "from spotipy.oauth2 import SpotifyPKCE as Manager\n"
        "accounts, api, name, callback = sys.argv[1:]\n"
        "Manager.OAUTH_TOKEN_URL = accounts + '/api/token'\n"
        "Manager.OAUTH_AUTHORIZE_URL = accounts + '/authorize'\n"
        "manager = Manager(name, callback, cache_handler=MemoryCacheHandler())\n"
        "client = spotipy.Spotify(auth_manager=manager)\n"
        "client.prefix = api + '/v1/'\n"
        "print(client.me()['id'])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        callback = f"http://127.0.0.1:{free.getsockname()[1]}/callback"
    arguments = (server.accounts.url, server.api.url, server.people.app.id, callback)
    browser = f"{sys.executable} {Path(servers.__file__).parent / 'browser.py'} %s &"
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env=os.environ | {"BROWSER": browser},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["listener"], done.stderr
    assert len(server.journal.requests("/authorize", status=303)) == 1


def test_over_tls_in_another_process(authority: Authority, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, spotipy\n"
        "from spotipy.cache_handler import MemoryCacheHandler\n"
        "from spotipy.oauth2 import SpotifyClientCredentials as Manager\n"
        "accounts, api, name, secret = sys.argv[1:]\n"
        "Manager.OAUTH_TOKEN_URL = accounts + '/api/token'\n"
        "manager = Manager(name, secret, cache_handler=MemoryCacheHandler())\n"
        "client = spotipy.Spotify(auth_manager=manager)\n"
        "client.prefix = api + '/v1/'\n"
        "print(client.search('year:1990', type='album')['albums']['total'])\n"
    )
    with Spotify(tls=authority) as server:
        app = server.people.app
        command = [sys.executable, script, server.accounts.url, server.api.url, app.id, app.secret]
        known = {k: v for k, v in os.environ.items() if "CA_BUNDLE" not in k}
        good = subprocess.run(
            command,
            env=known | authority.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert good.returncode == 0, good.stderr
        wanted = sum(album.year == 1990 for album in server.catalogue.albums)
        assert int(good.stdout) == wanted > 0
        assert all(entry.secure for entry in server.journal.requests())
        server.journal.clear()
        known.pop("SSL_CERT_FILE", None)
        bad = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
        assert bad.returncode
        assert "CERTIFICATE_VERIFY_FAILED" in bad.stderr
        assert len(server.journal) == 0
