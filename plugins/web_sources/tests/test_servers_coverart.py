"""MusicBrainz and the Cover Art Archive as musicbrainzngs knows them."""

import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from servers import CoverArt, Status, mbid
from servers.lucene import SyntaxFault, parse

AGENT = "ganctl-tests/1 ( https://example.org )"


@pytest.fixture
def server() -> Iterator[CoverArt]:
    with CoverArt(interval=None) as server:
        yield server


@pytest.fixture
def musicbrainz(server: CoverArt) -> Iterator[ModuleType]:
    """musicbrainzngs with the server for MusicBrainz, and no pace of its own."""
    client: ModuleType = pytest.importorskip("musicbrainzngs")
    client.set_useragent("ganctl-tests", "1", "https://example.org")
    client.set_hostname(server.musicbrainz.url.removeprefix("http://"))
    client.set_caa_hostname(server.coverart.url.removeprefix("http://"))
    client.set_rate_limit(False)
    yield client
    client.set_hostname("musicbrainz.org", use_https=True)
    client.set_caa_hostname("coverartarchive.org", use_https=True)
    client.set_rate_limit()


def get(url: str, agent: str = AGENT, **query: object) -> tuple[int, bytes]:
    if query:
        url += "?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(url, headers={"User-Agent": agent})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def search(server: CoverArt, query: str, **more: object) -> Any:
    url = f"{server.musicbrainz.url}/ws/2/release-group"
    status, body = get(url, query=query, fmt="json", **more)
    assert status == 200, body
    return json.loads(body)


def test_musicbrainzngs_searches_and_fetches(server: CoverArt, musicbrainz: ModuleType) -> None:
    found: list[Any] = []
    while True:
        page = musicbrainz.search_release_groups(
            tag="jazz", primarytype="album", strict=True, limit=10, offset=len(found)
        )
        found += page["release-group-list"]
        if not page["release-group-list"]:
            break
    wanted = [album for album in server.catalogue.albums if album.genre == "jazz"]
    assert page["release-group-count"] == len(found) == len(wanted)
    assert [group["id"] for group in found] == [mbid("release-group", a) for a in wanted]
    assert found[0]["tag-list"] == [{"count": "3", "name": "jazz"}]
    assert found[0]["artist-credit-phrase"] == wanted[0].artist
    for size in ("250", "500", "1200"):
        image = musicbrainz.get_release_group_image_front(found[0]["id"], size=size)
        with Image.open(io.BytesIO(image)) as picture:
            assert (picture.format, max(picture.size)) == ("JPEG", int(size))
    group = musicbrainz.get_release_group_by_id(found[0]["id"])["release-group"]
    assert group["title"] == wanted[0].name
    listed = musicbrainz.get_release_group_image_list(found[0]["id"])
    assert listed["images"][0]["front"]


def test_musicbrainzngs_understands_the_errors(server: CoverArt, musicbrainz: ModuleType) -> None:
    bare = next(album for album in server.catalogue.albums if not album.images)
    for identifier, expected in ((mbid("release-group", bare), "404"), ("nonsense", "400")):
        with pytest.raises(musicbrainz.ResponseError, match=expected):
            musicbrainz.get_release_group_image_front(identifier)
    with pytest.raises(musicbrainz.ResponseError, match="400"):
        musicbrainz.search_release_groups("tag:(jazz")


def test_a_picture_is_three_hosts_away(server: CoverArt) -> None:
    identifier = mbid("release-group", server.catalogue.albums[0])
    status, body = get(f"{server.coverart.url}/release-group/{identifier}/front-500")
    assert status == 200
    assert body[:2] == b"\xff\xd8"
    steps = [(e.server, e.status) for e in server.journal.requests()]
    assert steps == [("coverart", 307), ("archive", 302), ("node", 200)]
    assert get(f"{server.coverart.url}/release-group/{identifier}/front-300")[0] == 404
    server.script.on("*", Status(503), server="node")
    assert get(f"{server.coverart.url}/release-group/{identifier}/front-250")[0] == 503


def test_a_search_as_json(server: CoverArt) -> None:
    page = search(server, 'tag:"hip hop" AND firstreleasedate:[1970 TO 1979]', limit=2, offset=1)
    wanted = [a for a in server.catalogue.albums if a.genre == "hip hop" and 1970 <= a.year <= 1979]
    assert page["count"] == len(wanted) > 2
    assert [g["id"] for g in page["release-groups"]] == [
        mbid("release-group", a) for a in wanted[1:3]
    ]
    assert page["release-groups"][0]["tags"][0] == {"count": 3, "name": "hip hop"}
    assert len(search(server, "primarytype:album")["release-groups"]) == 25
    assert len(search(server, "primarytype:album", limit=500)["release-groups"]) == 100
    url = f"{server.musicbrainz.url}/ws/2/release-group"
    assert get(url, fmt="json")[0] == 400
    assert get(url, fmt="json", query='tag:"open')[0] == 400


def test_one_request_a_second_and_a_name(server: CoverArt) -> None:
    url = f"{server.musicbrainz.url}/ws/2/release-group"
    for agent in ("", "Python-urllib/3.11", "python-httpx2/2.16.2", "curl/8.0", "mine"):
        assert get(url, agent, query="tag:jazz", fmt="json")[0] == 403
    server.interval = 0.3
    statuses = []
    for pause in (0.0, 0.0, 0.35, 0.0, 0.35):
        time.sleep(pause)
        statuses.append(get(url, query="tag:jazz", fmt="json")[0])
    assert statuses == [200, 503, 200, 503, 200]
    assert len(server.journal.gaps("/ws/2/release-group")) == 9


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("blue", True),
        ("train", False),
        ("tag:jazz", True),
        ("tag:rock OR tag:jazz", True),
        ("tag:rock tag:jazz", True),
        ("tag:rock AND tag:jazz", False),
        ("tag:jazz AND NOT releasegroup:kind", False),
        ("tag:jazz -releasegroup:nothing", True),
        ("+tag:rock tag:jazz", False),
        ("tag:(rock OR jazz) && primarytype:album", True),
        ('releasegroup:"kind of blue"', True),
        ('releasegroup:"of kind"', False),
        ("releasegroup:bl*", True),
        ("date:[1959 TO 1959]", True),
        ("date:[1960 TO *]", False),
        ("nofield:x", False),
    ],
)
def test_the_query_language(query: str, expected: bool) -> None:
    document = {
        "": ["kind of blue"],
        "releasegroup": ["kind of blue"],
        "tag": ["jazz"],
        "primarytype": ["album"],
        "date": ["1959-08-17"],
    }
    assert bool(parse(query)(document)) == expected


@pytest.mark.parametrize("query", ["", "(", "tag:", "a AND", '"open', "a)"])
def test_what_is_not_a_query(query: str) -> None:
    with pytest.raises(SyntaxFault):
        parse(query)
