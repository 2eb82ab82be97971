"""The test servers do what their scripts say, and write it down."""

import gzip
import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers import (
    Authority,
    BitFlip,
    Call,
    Chunked,
    Delay,
    Drip,
    Drop,
    Files,
    Gzip,
    Html,
    Ignore,
    Length,
    Loop,
    Redirect,
    Set,
    Status,
    Truncate,
)

BODY = bytes(range(256)) * 40


@pytest.fixture
def files() -> Iterator[Files]:
    with Files() as files:
        files.add("/a.jpg", BODY)
        yield files


def get(url: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)) as http_:
        http_.request(
            "GET", parts.path, headers={n.replace("_", "-"): t for n, t in headers.items()}
        )
        with http_.getresponse() as response:
            return response.status, response.headers, response.read()


def test_a_file_comes_whole_and_the_journal_says_so(files: Files) -> None:
    status, headers, body = get(f"{files.web.url}/a.jpg", X_Mine="1")
    assert (status, body, headers["Content-Type"]) == (200, BODY, "image/jpeg")
    (entry,) = files.journal.requests("/a.jpg")
    assert (entry.number, entry.method, entry.status, entry.sent) == (1, "GET", 200, len(BODY))
    assert entry.headers["x-mine"] == entry.headers["X-MINE"] == "1"
    assert entry.done is not None
    assert entry.done >= entry.time
    get(f"{files.elsewhere.url}/a.jpg")
    assert [e.server for e in files.journal.requests()] == ["web", "elsewhere"]
    assert files.journal.repeated(server="web") == {}
    get(f"{files.web.url}/a.jpg")
    assert files.journal.repeated(server="web") == {"/a.jpg": 2}
    assert len(files.journal.gaps(server="web")) == 1


def test_a_connection_is_kept(files: Files) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", files.web.port, timeout=5)) as client:
        for method in ("GET", "HEAD", "GET"):
            client.request(method, "/a.jpg")
            kept = client.sock
            with client.getresponse() as response:
                assert response.read() == (b"" if method == "HEAD" else BODY)
                assert response.headers["Content-Length"] == str(len(BODY))
            assert client.sock is kept
            assert kept is not None


def test_ranges_are_as_in_object_stores(files: Files) -> None:
    url = f"{files.web.url}/a.jpg"
    etag = get(url)[1]["ETag"]
    status, headers, body = get(url, Range="bytes=100-", If_Range=etag)
    assert (status, body) == (206, BODY[100:])
    assert headers["Content-Range"] == f"bytes 100-{len(BODY) - 1}/{len(BODY)}"
    assert get(url, Range="bytes=5-9")[2] == BODY[5:10]
    assert get(url, Range="bytes=-3")[2] == BODY[-3:]
    assert get(url, Range=f"bytes={len(BODY)}-")[0] == 416
    assert get(url, Range="bytes=100-", If_Range='"another"')[::2] == (200, BODY)
    assert get(url, If_None_Match=etag)[0] == 304
    files.script.on("/a.jpg", Ignore("Range"))
    assert get(url, Range="bytes=100-")[::2] == (200, BODY)
    assert files.journal.requests()[-1].headers["Range"] == "bytes=100-"  # what came is kept


def test_faults_that_answer(files: Files) -> None:
    url = f"{files.web.url}/a.jpg"
    files.script.on("/a.jpg", Status(503, retry_after="soon"), requests={1})
    files.script.on("/a.jpg", Html(), requests={2})
    files.script.on("/a.jpg", Redirect("http://10.0.0.1/"), requests={3})
    files.script.on("/a.jpg", Loop(), requests={4})
    rule = files.script.on("/a.jpg", Set({"X-Robots-Tag": "noai", "ETag": None}), requests={5})
    status, headers, _ = get(url)
    assert (status, headers["Retry-After"]) == (503, "soon")
    status, headers, body = get(url)
    assert (status, headers.get_content_type()) == (200, "text/html")
    assert body.startswith(b"<!DOCTYPE html>")
    assert get(url)[1]["Location"] == "http://10.0.0.1/"
    assert get(url)[1]["Location"] == "/a.jpg"
    _, headers, body = get(url)
    assert (headers["X-Robots-Tag"], headers["ETag"], body) == ("noai", None, BODY)
    assert (rule.seen, rule.hits) == (5, 1)
    assert get(url)[::2] == (200, BODY)


def test_faults_of_the_body(files: Files) -> None:
    url = f"{files.web.url}/a.jpg"
    faults = (Truncate(0.25), BitFlip(0.5, 7), Length(-10), Chunked(), Drip(4096, 0.05))
    for number, fault in enumerate(faults, 1):
        files.script.on("/a.jpg", fault, requests={number})
    assert get(url)[2] == BODY[: len(BODY) // 4]
    flipped = get(url)[2]
    assert [i for i, byte in enumerate(flipped) if byte != BODY[i]] == [len(BODY) // 2]
    assert flipped[len(BODY) // 2] == BODY[len(BODY) // 2] ^ 128
    assert get(url)[2] == BODY[:-10]
    _, headers, body = get(url)
    assert (headers["Content-Length"], body) == (None, BODY)
    start = time.monotonic()
    assert get(url)[2] == BODY
    assert time.monotonic() - start >= 0.1
    files.script.on("/a.jpg", Gzip())
    assert gzip.decompress(get(url, Accept_Encoding="gzip")[2]) == get(url)[2] == BODY


def test_connections_break(files: Files) -> None:
    url = f"{files.web.url}/a.jpg"
    files.script.on("/a.jpg", Drop(), requests={1})
    files.script.on("/a.jpg", Drop(after=1000), requests={2})
    files.script.on("/a.jpg", Drop(after=1000, reset=True), requests={3})
    files.script.on("/a.jpg", Length(100), requests={4})
    with pytest.raises(http.client.RemoteDisconnected):
        get(url)
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(url)
    assert caught.value.partial == BODY[:1000]
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        get(url)
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(url)
    assert caught.value.partial == BODY
    entries = files.journal.requests()
    assert [(e.status, e.sent, e.done is None) for e in entries[:2]] == [
        (None, 0, True),
        (200, 1000, True),
    ]


def test_a_hanging_answer_ends_with_the_server() -> None:
    with Files() as files:
        files.script.on("/a.jpg", Delay(3600))
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                get(f"{files.web.url}/a.jpg")
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert files.journal.wait_for(1)
        start = time.monotonic()
    thread.join(5)
    assert failures
    assert time.monotonic() - start < 3


def test_the_journal_counts_who_is_served_at_once(files: Files) -> None:
    files.script.on("/a.jpg", Delay(0.3))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(get, [f"{files.web.url}/a.jpg"] * 6))
    # A client may have an answer, and ask again, a moment before it is over for the server.
    assert files.journal.most_at_once("/a.jpg") in (3, 4)


def test_something_happens_before_a_request_and_rules_add_up(files: Files) -> None:
    url = f"{files.web.url}/a.jpg"
    files.script.on("*", Call(lambda: files.add("/a.jpg", b"new")), requests={2})
    files.script.on("/a.*", Chunked(), requests=lambda n: n % 2 == 0)
    assert get(url)[2] == BODY
    _, headers, body = get(url)
    assert (body, headers["Transfer-Encoding"]) == (b"new", "chunked")
    files.script.clear()
    assert get(url)[1]["Transfer-Encoding"] is None


def test_a_failure_of_the_servers_own_code_fails_the_test() -> None:
    def fail() -> None:
        raise KeyError("mine")

    files = Files()
    files.script.on("*", Call(fail))
    assert get(f"{files.web.url}/")[0] == 500
    with pytest.raises(AssertionError, match="the test server failed"):
        files.close()


def test_tls_is_trusted_through_the_authority_alone(authority: Authority, tmp_path: Path) -> None:
    with Files(tls=authority) as files:
        url = files.add("/a.jpg", BODY)
        assert url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(authority.certificate))
        trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 has it
        with urllib.request.urlopen(url, timeout=5, context=trusting) as response:
            assert response.read() == BODY
        other = Authority(tmp_path / "other")
        for context in (
            ssl.create_default_context(),
            ssl.create_default_context(cafile=str(other.certificate)),
        ):
            with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
                urllib.request.urlopen(url, timeout=5, context=context)
        assert len(files.journal) == 1
    assert files.web.handshakes_failed == 2
    wrong = Authority(tmp_path / "wrong", names=("elsewhere.example",))
    with Files(tls=wrong) as files:
        context = ssl.create_default_context(cafile=str(wrong.certificate))
        with pytest.raises(urllib.error.URLError, match=r"not valid for '127\.0\.0\.1'"):
            urllib.request.urlopen(files.web.url, timeout=5, context=context)


def test_files_redirect_and_refuse_ai() -> None:
    with Files() as files:
        picture = files.add("/b.jpg", b"b", noai=True)
        there = files.redirect("/old", "/b.jpg", 301)
        away = files.redirect("/away", f"{files.elsewhere.url}/b.jpg")
        assert get(picture)[1]["X-Robots-Tag"] == "noai, noimageai"
        assert get(there)[0] == 301
        for url in (there, away):
            with urllib.request.urlopen(url, timeout=5) as response:
                assert response.read() == b"b"
        assert get(f"{files.web.url}/none.jpg")[0] == 404
