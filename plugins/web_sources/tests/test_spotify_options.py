"""What may be asked of the source spotify, before anything is asked of Spotify."""

from typing import Any

import pytest

from ganctl import UserError
from ganctl_web_sources.spotify import Spotify, SpotifyOptions
from ganctl_web_sources.spotify_catalogue import playlist_id

ID = "37i9dQZF1DXcBWIGoYBM5M"


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_CLIENT_ID", "0123456789abcdef")
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "fedcba9876543210")


@pytest.mark.parametrize(
    "text",
    [
        ID,
        f" {ID}\n",
        f"spotify:playlist:{ID}",
        f"spotify:user:somebody:playlist:{ID}",
        f"https://open.spotify.com/playlist/{ID}",
        f"https://open.spotify.com/playlist/{ID}?si=0123456789abcdef&pt=x",
        f"https://open.spotify.com/intl-de/playlist/{ID}/?si=1",
        f"https://open.spotify.com/user/some.body/playlist/{ID}#a",
    ],
)
def test_a_playlist_is_named_in_many_ways(text: str) -> None:
    assert playlist_id(text) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "../../me",
        f"../{ID}",
        f"{ID}/../../me",
        f"{ID[:-1]}",
        f"{ID}x",
        f"{ID[:-1]}-",
        f"{ID[:-1]}é",
        f"spotify:album:{ID}",
        f"https://open.spotify.com/album/{ID}",
        f"https://open.spotify.com/playlist/../{ID}",
        f"https://open.spotify.com/playlist/{ID}/../{ID}",
        f"https://open.spotify.com.evil.example/playlist/{ID}",
        f"https://evil.example/https://open.spotify.com/playlist/{ID}",
    ],
)
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="not a playlist: wanted its link"):
        Spotify().check(SpotifyOptions(playlists=(text,)))


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "say what to fetch: --source.query"),
        ({"years": "60s"}, "years '60s': wanted a year, or two: 1960-1999"),
        ({"years": "1999-1960"}, "wanted a year"),
        ({"years": "0000-9999"}, "wanted a year"),
        ({"query": ("year:1960",), "years": "1960"}, "give one of them"),
        ({"query": ("x",), "market": "Germany"}, "wanted two capitals"),
        ({"years": "1960", "label": "query"}, "there is no query"),
        ({"query": ("genre:jazz", "x"), "label": "genre"}, r"each query needs one \(genre:jazz\)"),
        ({"query": ("x",), "playlists": (ID,), "label": "query"}, "playlists have none"),
        ({"query": ("x",), "playlists": (ID,), "label": "playlist"}, "a search finds has none"),
    ],
)
def test_what_cannot_work_is_told_at_once(values: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        Spotify().check(SpotifyOptions(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"query": ("genre:jazz", 'genre:"hip hop" year:1999'), "label": "genre"},
        {"query": ("x",), "playlists": (ID,), "label": "decade"},
        {"playlists": (ID,), "label": "playlist"},
        {"years": "1960-1999", "market": "DE"},
    ],
)
def test_what_can_work_is_not_held_up(values: dict[str, Any]) -> None:
    Spotify().check(SpotifyOptions(**values))


def test_a_folder_does_not_depend_on_how_it_is_asked_for() -> None:
    identity = Spotify().identity
    usual = identity(SpotifyOptions(playlists=(ID,)))
    link = f"https://open.spotify.com/playlist/{ID}"
    other = SpotifyOptions(
        playlists=(link,), api_url="http://x", accounts_url="y", redirect_port=1, mode="extended"
    )
    assert identity(other) == usual
    assert identity(SpotifyOptions(playlists=(ID,), market="DE")) != usual
    edition = Spotify().edition
    for more in ({"limit": 5}, {"label": "year"}):
        asked = SpotifyOptions(playlists=(ID,), **more)  # type: ignore[arg-type]
        assert identity(asked) == usual
        assert edition(asked) != edition(other)


def test_the_terms_forbid_training() -> None:
    terms = Spotify().terms(SpotifyOptions())
    assert (terms.training, terms.version) == ("no", "2025-05-15")
    said = " ".join(text for text, _ in terms.clauses)
    for clause in ("IV.2.1.a", "III.14", "IV.3.1.a", "IV.3.2"):
        assert clause in said
    assert all(url.startswith("https://developer.spotify.com/") for _, url in terms.clauses)
    assert "--source coverart" in terms.instead


@pytest.mark.parametrize("option", ["api_url", "accounts_url"])
@pytest.mark.parametrize(
    "url", ["https://api.spotify.com.evil.example", "http://api.spotify.com", "https://u@evil", ""]
)
def test_credentials_are_for_no_other_server(option: str, url: str) -> None:
    with pytest.raises(UserError, match=rf"{option} is https://\w+\.spotify\.com, or a server on"):
        Spotify().check(SpotifyOptions(query=("x",), **{option: url}))
    for here in ("http://127.0.0.1:1", "https://localhost:2/"):
        Spotify().check(SpotifyOptions(query=("x",), **{option: here}))
