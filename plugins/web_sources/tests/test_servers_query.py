"""Spotify's two small languages as the server reads them."""

import pytest
from servers import Catalogue
from servers.spotify_query import matches, select


def test_the_fields_language() -> None:
    content = {"a": 1, "b": {"c": 2, "d": [{"e": 3, "f": 4}, None]}}
    assert select(content, None) == content
    assert select(content, "a") == {"a": 1}
    assert select(content, "b.c,a") == {"a": 1, "b": {"c": 2}}
    assert select(content, "b(d(e))") == {"b": {"d": [{"e": 3}, None]}}
    assert select(content, "b.d(!e)") == {"b": {"d": [{"f": 4}, None]}}
    assert select(content, "!a,") == {"b": content["b"]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("silent rivers", True),
        ("loud rivers", False),
        ("year:1960", True),
        ("year:1955-1960", True),
        ("year:1961-1970", False),
        ("year:soon", False),
        ("year:1960 rivers", True),
        ('genre:"rock" year:1960', True),
        ("genre:jazz", False),
        ("genre:rock album:Silent Rivers", True),
        ("album:Silent Rivers genre:jazz", False),
        ("artist:The Rivers of Silent album:silent", True),
        ('artist:"the rivers" silent', True),
        ("tag:new", False),
    ],
)
def test_a_search_for_albums(query: str, expected: bool) -> None:
    album = Catalogue.make(1).albums[0]
    assert (album.name, album.artist) == ("Silent Rivers 1", "The Rivers of Silent")
    assert matches(query, album) == expected


def test_the_world_is_always_the_same_and_odd_if_asked() -> None:
    albums = Catalogue.make(50).albums
    assert albums == Catalogue.make(50).albums
    assert len({album.id for album in albums}) == 50
    assert [a.index for a in albums if not a.images] == [5, 30]
    assert [a.index for a in albums if not a.sizes_known] == [10, 35]
    assert [a.index for a in albums if not a.name] == [15, 40]
    assert albums[20].cover == albums[21].cover == albums[19].cover
    assert albums[21].quality != albums[20].quality == albums[19].quality
    plain = Catalogue.make(50, odd=False).albums
    assert len({album.cover for album in plain}) == 50
    assert all(album.images and album.name for album in plain)
