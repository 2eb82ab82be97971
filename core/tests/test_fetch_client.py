"""Questions to servers, over real connections on loopback: every fault, one test each."""

import base64
import hashlib
import logging
import pickle
import ssl
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import google_crc32c
import pytest
import trustme
from web_server import Answer, Asked, Server, serving

from ganctl import GanctlError, Refused, Request, Secret, Unreachable, UserError, Web, Withheld
from ganctl.fetch.answers import Later, TooLarge
from ganctl.fetch.digests import Digests
from ganctl.fetch.pacing import Patience, Stopped, retry_after
from ganctl.fetch.secret import redacted

QUICK = Patience(
    connect=2, read=0.4, whole=1.0, attempts=4, first_wait=0.01, longest_wait=0.05, told_wait=120
)
DATA = bytes(range(256)) * 8000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as server:
        yield server


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    web = Web(tmp_path, QUICK)
    yield web
    web.close()


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": to})


def test_an_answer_comes_whole(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(DATA, headers={"X-Robots-Tag": "noai"}))
    answer = web.send(Request(url, params={"q": "ä b"}, headers={"X-One": "1"}))
    assert answer.body == DATA
    assert answer.headers["x-robots-tag"] == "noai"
    assert server.asked[0].path == "/a?q=%C3%A4%20b" or "q=%C3%A4+b" in server.asked[0].path
    assert "ganctl/" in server.asked[0].headers["user-agent"]


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=429, headers={"Retry-After": "0"}),
        Answer(status=429, headers={"Retry-After": "soon"}),
        Answer(status=429),
        Answer(status=500),
        Answer(status=503),
        Answer(cut=-1),  # before the answer
        Answer(DATA, cut=1000),  # within the body
        Answer(DATA, length=len(DATA) + 1),
        Answer(DATA[:50], drip=0.05),  # slower than `whole`
        Answer(hang=0.8),
    ],
    ids=[
        *("retry-after-0", "retry-after-garbage", "no-retry-after", "500", "503"),
        *("dropped-before", "dropped-within", "wrong-length", "drip", "hang"),
    ],
)
def test_a_passing_fault_is_tried_again(server: Server, web: Web, fault: Answer) -> None:
    url = server.on("/a", fault, Answer(b"there"))
    assert web.send(Request(url)).body == b"there"
    assert server.paths() == ["/a", "/a"]


@pytest.mark.parametrize("as_date", [False, True])
def test_what_retry_after_says_is_waited(server: Server, web: Web, as_date: bool) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=2.5), usegmt=True)
    refusal = Answer(status=429, headers={"Retry-After": later if as_date else "1"})
    url = server.on("/a", refusal, Answer(b"there"))
    assert web.send(Request(url)).body == b"there"
    first, second = (asked.time for asked in server.asked)
    assert second - first > 0.9


def test_other_requests_to_the_host_wait_too(server: Server, web: Web) -> None:
    first = server.on("/a", Answer(status=429, headers={"Retry-After": "1"}), Answer(b"a"))
    second = server.on("/b", Answer(b"b"))
    thread = threading.Thread(target=web.send, args=(Request(first),))
    thread.start()
    while not server.asked:
        time.sleep(0.01)
    time.sleep(0.1)
    web.send(Request(second))
    thread.join()
    assert min(asked.time for asked in server.asked[1:]) - server.asked[0].time > 0.9


@pytest.mark.parametrize("as_date", [False, True])
def test_a_pause_of_hours_says_when_to_come_back(server: Server, web: Web, as_date: bool) -> None:
    when = datetime.now().astimezone() + timedelta(hours=1)
    text = format_datetime(when.astimezone(UTC), usegmt=True) if as_date else "3600"
    url = server.on("/a", Answer(status=429, headers={"Retry-After": text}))
    with pytest.raises(Later) as error:
        web.send(Request(url))
    near = [when + timedelta(minutes=minutes) for minutes in (-1, 0, 1)]
    assert any(f"come back after {time:%Y-%m-%d %H:%M}" in str(error.value) for time in near)
    assert len(server.asked) == 1
    assert error.value.exit_status == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *((None, None), ("", None), ("soon", None), ("-5", None), ("1.5e3", None), ("٣", None)),
        *(("0", 0), (" 7 ", 7), ("9" * 400, 999_999_999_999)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_retry_after_in_all_its_forms(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds


def test_500_forever_is_given_up_in_one_line(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(status=500))
    with pytest.raises(Unreachable, match=r"/a: it answered 500 \(4 attempts\)$"):
        web.send(Request(url + "?token=abc"))
    assert len(server.asked) == 4


def test_a_host_that_always_fails_is_left_alone(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(status=500))
    for _ in range(QUICK.hopeless):
        with pytest.raises(Unreachable, match="4 attempts"):
            web.send(Request(url))
    asked = len(server.asked)
    with pytest.raises(Unreachable, match=r"not asked, as 127\.0\.0\.1:\d+ failed before"):
        web.send(Request(url))
    assert len(server.asked) == asked


def test_nobody_listening(web: Web) -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(Unreachable, match="refused"):
        web.send(Request(url))


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_repeated(server: Server, web: Web, status: int) -> None:
    url = server.on("/a", Answer(b'{"error": "no"}', status=status))
    with pytest.raises(Refused, match=f"it answered {status}") as error:
        web.send(Request(url))
    assert (error.value.status, error.value.body) == (status, b'{"error": "no"}')
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("body", "kind"), [(b"<html>captive", "text/html"), (b"{", "application/json"), (b"", "x")]
)
def test_200_without_json(server: Server, web: Web, body: bytes, kind: str) -> None:
    url = server.on("/a", Answer(body, headers={"Content-Type": kind}))
    with pytest.raises(Unreachable, match=f"answered '{kind}', which is not JSON"):
        web.json(Request(url))


@pytest.mark.parametrize("length", [None, -1])
def test_a_body_is_limited(server: Server, web: Web, length: int | None) -> None:
    url = server.on("/a", Answer(DATA, length=length))
    with pytest.raises(Unreachable, match=r"more than the 1,000"):
        web.send(Request(url, limit=1000))


def test_a_compressed_body_is_limited_as_it_unfolds(server: Server, web: Web) -> None:
    import gzip

    bomb = gzip.compress(bytes(10_000_000))
    url = server.on("/a", Answer(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(Unreachable, match=r"more than the 1,000,000"):
        web.send(Request(url, limit=1_000_000))


def test_redirects_are_followed_and_counted(server: Server, web: Web) -> None:
    server.on("/c", Answer(b"there"))
    server.on("/b", redirect("/c", 307))
    assert web.send(Request(server.on("/a", redirect("/b")))).url.endswith("/c")
    loop = server.on("/loop", redirect("/loop"))
    with pytest.raises(Unreachable, match="more than 5 redirects"):
        web.send(Request(loop))
    assert server.paths().count("/loop") == 6


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://10.0.0.7/a", "10.0.0.7/a: an address in a private network"),
        ("http://169.254.169.254/latest", "an address in a private network"),
        ("http://[fe80::1]/a", "an address in a private network"),
        ("http://0.0.0.0/a", "an address in a private network"),
        ("file:///etc/passwd", "not a web address"),
        ("http://[", "no address"),
    ],
)
def test_where_redirects_do_not_lead(server: Server, web: Web, to: str, why: str) -> None:
    with pytest.raises(Unreachable, match=why.replace("[", r"\[")):
        web.send(Request(server.on("/a", redirect(to))))
    assert len(server.asked) == 1


def test_what_a_public_service_lists_does_not_lead_here(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(b"secret page of this machine"))
    with pytest.raises(Unreachable, match="an address in a private network"):
        web.send(Request(url, base="https://192.0.2.1"))
    assert not server.asked
    assert web.send(Request(url, base="http://127.0.0.1:1/api")).body


def test_secrets_stay_with_their_host(server: Server, web: Web) -> None:
    with serving() as other:
        there = other.on("/b", Answer(b"there"))
        url = server.on("/a", redirect(there))
        headers = {
            "Authorization": Secret("Bearer abc123").within("{}"),
            "X-Key": Secret("key-value"),
            "Cookie": "c=1",
            "Accept": "image/*",
        }
        web.send(Request(url, headers=headers))
        assert server.asked[0].headers["authorization"] == "Bearer abc123"
        sent = other.asked[0].headers
        assert sent["accept"] == "image/*"
        assert not {"authorization", "x-key", "cookie"} & sent.keys()


def test_a_form_is_not_redirected_to_another_host(server: Server, web: Web) -> None:
    with serving() as other:
        url = server.on("/a", redirect(other.on("/b", Answer()), 307))
        with pytest.raises(Unreachable, match="redirects what was sent"):
            web.send(Request(url, method="POST", form={"secret": Secret("abcdef")}))
        assert not other.asked
        assert server.asked[0].body == b"secret=abcdef"


def test_a_post_that_redirects_is_followed_by_a_get(server: Server, web: Web) -> None:
    server.on("/b", Answer(b"there"))
    url = server.on("/a", redirect("/b"))
    assert web.send(Request(url, method="POST", json={"a": 1})).body == b"there"
    assert [(a.method, a.body) for a in server.asked] == [("POST", b'{"a":1}'), ("GET", b"")]


def test_cookies_are_not_kept(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(b"1", headers={"Set-Cookie": "session=1; Path=/"}))
    web.send(Request(url))
    web.send(Request(url))
    assert "cookie" not in server.asked[1].headers


def test_secrets_are_not_sent_in_the_clear(web: Web) -> None:
    with pytest.raises(Unreachable, match="secrets are sent over https alone"):
        web.send(Request("http://192.0.2.1/", headers={"Authorization": Secret("abcdef")}))


def test_a_secret_shows_itself_to_nobody(
    server: Server, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = Secret("s3cr3t-token")
    assert "s3cr3t" not in f"{token} {token!r} {[token]} {token:>20}"
    assert "s3cr3t" not in redacted("it said: no such token s3cr3t-token")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(token)
    echo = server.on("/s3cr3t-token/a", Answer(status=500, body=b"s3cr3t-token"))
    with pytest.raises(Unreachable) as error:
        web.send(Request(echo, headers={"Authorization": token.within("Bearer {}")}))
    said = "".join(traceback.format_exception(error.value))
    bad = {"X-Bad": Secret("s3cr3t\ntoken")}
    with pytest.raises(Unreachable) as error:
        web.send(Request(server.url, headers=bad))
    said += "".join(traceback.format_exception(error.value)) + caplog.text + repr(bad)
    assert "s3cr3t" not in said
    assert "[secret]" in said


def test_the_pace_is_kept_across_threads(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(b"1"))
    threads = [threading.Thread(target=web.send, args=(Request(url, every=0.2),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(asked.time for asked in server.asked)
    assert min(b - a for a, b in pairwise(times)) > 0.17


def test_a_strict_pace_counts_from_the_answer(server: Server, web: Web) -> None:
    late = Answer(b"1", hang=0.2)  # the next would be there first, were it sent after 0.1 s
    url = server.on("/a", late, Answer(status=503, hang=0.2), late, Answer(b"1"))
    for _ in range(3):
        web.send(Request(url, every=0.1, strict=True))
    gaps = [b.time - a.time for a, b in pairwise(server.asked)]
    assert len(gaps) == 3
    assert min(gaps) > 0.3


def test_headers_may_be_refused_before_the_body_comes(server: Server, web: Web) -> None:
    seen: list[tuple[str, str]] = []

    def admit(headers: Sequence[tuple[str, str]]) -> None:
        seen.extend(pair for pair in headers if pair[0] == "x-one")
        if ("x-one", "no") in headers:
            raise Withheld("it says no")

    endless = Answer(DATA, headers={"X-One": "no"}, drip=0.05)
    there = server.on("/no", endless)
    away = server.on("/away", Answer(status=302, headers={"Location": "/yes", "X-One": "no"}))
    fine = server.on("/yes", Answer(status=500, headers={"X-One": "no"}), Answer(b"1"))
    for url in (there, away):
        with pytest.raises(Withheld, match="it says no"):
            web.send(Request(url, admit=admit))
    assert server.paths() == ["/no", "/away"]
    assert web.send(Request(fine, admit=admit)).body == b"1"
    assert seen == [("x-one", "no")] * 2


def test_a_stop_ends_every_wait(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(status=429, headers={"Retry-After": "100"}))
    began = time.monotonic()
    threading.Timer(0.3, web.stop.set).start()
    with pytest.raises(Stopped):
        web.send(Request(url))
    assert time.monotonic() - began < 5


def test_checksums_are_checked(server: Server, web: Web) -> None:
    crc = base64.b64encode(google_crc32c.value(DATA).to_bytes(4)).decode()
    right = server.on("/a", Answer(DATA, headers={"x-goog-hash": f"crc32c={crc},md5={md5(DATA)}"}))
    web.send(Request(right, digests={"sha256": hashlib.sha256(DATA).hexdigest()}))
    wrong = server.on("/b", Answer(DATA, headers={"x-goog-hash": f"crc32c={crc}, md5={md5(b'')}"}))
    with pytest.raises(Unreachable, match="its md5 is"):
        web.send(Request(wrong))
    garbage = server.on("/c", Answer(DATA, headers={"x-goog-hash": "md5=?,crc32c,x=="}))
    assert web.send(Request(garbage)).body == DATA
    with pytest.raises(GanctlError, match="not a checksum of 32 bytes"):
        web.send(Request(right, digests={"sha256": "abc"}))


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def test_checksums_are_of_all_blocks_together() -> None:
    wanted = {"md5": "25f9e794323b453885f5181f1b624d0b", "crc32c": "e3069283", "other": "?"}
    for blocks, whole in (([b"1234", b"56789"], True), ([b"1234"], False)):
        digests = Digests(wanted)
        for block in blocks:
            digests.update(block)
        assert (digests.fault() is None) == whole


# Files


MARK = {"ETag": '"one"'}


def test_a_file_that_is_cut_off_is_continued(server: Server, web: Web) -> None:
    answers = [Answer(DATA, headers=MARK, ranges=True, cut=n) for n in (1_200_000, 1_000, 3_000)]
    url = server.on("/a", *answers, Answer(DATA, headers=MARK, ranges=True))
    file = web.file(Request(url, digests={"md5": md5(DATA)}, limit=len(DATA)), "set.zip")
    assert file.read_bytes() == DATA
    begins = [asked.headers.get("range") for asked in server.asked]
    assert begins == [None, "bytes=1200000-", "bytes=1201000-", "bytes=1204000-"]
    assert [f.name for f in file.parent.iterdir()] == ["set.zip"]
    assert web.file(Request(url), "set.zip") == file
    assert len(server.asked) == 4


def test_another_process_continues_it(server: Server, web: Web, tmp_path: Path) -> None:
    fault = Answer(DATA, headers=MARK, ranges=True, cut=500_000)
    url = server.on("/a", fault, Answer(status=404), Answer(DATA, headers=MARK, ranges=True))
    with pytest.raises(Refused):
        web.file(Request(url), "set.zip")
    again = Web(tmp_path, QUICK)
    assert again.file(Request(url), "set.zip").read_bytes() == DATA
    assert server.asked[-1].headers["range"] == "bytes=500000-"
    again.close()


@pytest.mark.parametrize(
    "second",
    [
        Answer(DATA[::-1], headers=MARK),  # the server ignores Range
        Answer(DATA[::-1], headers={"ETag": '"two"'}, ranges=True),  # the object changed
    ],
)
def test_a_file_that_cannot_be_continued_begins_anew(
    server: Server, web: Web, second: Answer
) -> None:
    url = server.on("/a", Answer(DATA, headers=MARK, ranges=True, cut=500_000), second)
    assert web.file(Request(url), "set.zip").read_bytes() == DATA[::-1]


def test_a_web_page_in_between_does_not_end_what_was_begun(server: Server, web: Web) -> None:
    cut = Answer(DATA, headers=MARK, ranges=True, cut=500_000)
    page = Answer(b"<html>Please sign in", headers={"Content-Type": "text/html; charset=utf-8"})
    url = server.on("/a", cut, page, Answer(DATA, headers=MARK, ranges=True))
    assert web.file(Request(url), "set.zip").read_bytes() == DATA
    assert server.asked[-1].headers["range"] == "bytes=500000-"
    with pytest.raises(Unreachable, match=r"a web page \(4 attempts\)"):
        web.file(Request(server.on("/b", page)), "other.zip")


def test_what_comes_again_and_again_is_no_progress(server: Server, web: Web) -> None:
    url = server.on("/a", Answer(DATA, headers=MARK, cut=1_200_000))  # it ignores Range
    with pytest.raises(Unreachable, match=r"\(4 attempts\)"):
        web.file(Request(url), "set.zip")
    assert len(server.asked) == 5  # the first attempt brought something


def test_a_part_of_something_else_is_thrown_away(server: Server, web: Web) -> None:
    def another(asked: Asked) -> Answer:
        headers = {"Content-Range": "bytes 0-9/10", "ETag": '"one"'}
        return Answer(DATA[:10], status=206, headers=headers)

    cut = Answer(DATA, headers=MARK, ranges=True, cut=500_000)
    url = server.on("/a", cut, another, Answer(DATA, headers=MARK, ranges=True))
    assert web.file(Request(url), "set.zip").read_bytes() == DATA
    assert "range" not in server.asked[-1].headers


def test_a_file_that_was_whole_but_not_named(server: Server, web: Web, tmp_path: Path) -> None:
    url = server.on("/a", Answer(DATA, headers=MARK, ranges=True, cut=500_000), Answer(status=404))
    with pytest.raises(Refused):
        web.file(Request(url), "set.zip")
    (tmp_path / "files" / ".set.zip.part").write_bytes(DATA)
    server.on("/a", Answer(DATA, headers=MARK, ranges=True))
    assert web.file(Request(url, digests={"md5": md5(DATA)}), "set.zip").read_bytes() == DATA


def test_a_file_with_another_checksum_is_not_kept(server: Server, web: Web, tmp_path: Path) -> None:
    url = server.on("/a", Answer(DATA, headers={"x-goog-hash": f"md5={md5(b'')}"}))
    with pytest.raises(Unreachable, match=r"its md5 is .* \(4 attempts\)"):
        web.file(Request(url), "set.zip")
    assert list((tmp_path / "files").iterdir()) == []


@pytest.mark.parametrize("length", [None, -1])
def test_a_file_is_limited(server: Server, web: Web, length: int | None) -> None:
    url = server.on("/a", Answer(DATA, length=length))
    with pytest.raises(TooLarge, match="more than the 1,000"):
        web.file(Request(url, limit=1000), "set.zip")


@pytest.mark.parametrize("name", ["../a", "", ".a", "a/b", "a\\b", "/a", "a" * 200])
def test_names_of_files_are_plain(web: Web, name: str) -> None:
    with pytest.raises(UserError, match="not a name"):
        web.file(Request("http://127.0.0.1/"), name)


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_tls_with_a_private_authority(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with serving(tls(authority)) as server, serving() as plain:
        web = Web(tmp_path, QUICK)
        assert web.send(Request(server.on("/a", Answer(DATA)))).body == DATA
        url = server.on("/down", redirect(plain.on("/a", Answer())))
        with pytest.raises(Unreachable, match="redirects from https to http://"):
            web.send(Request(url))
        assert not plain.asked
        web.close()


def test_another_authority_is_one_line_and_not_tried_again(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with serving(tls(authority)) as server:
        web = Web(tmp_path, QUICK)
        for _ in range(2):
            with pytest.raises(Unreachable, match="its certificate is not trusted") as error:
                web.send(Request(server.on("/a", Answer(DATA))))
            assert "\n" not in str(error.value)
        web.close()


def test_a_file_of_authorities_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(UserError, match=r"SSL_CERT_FILE is .*absent.pem"):
        Web()


@pytest.mark.parametrize(
    "to", ["http://a..b/x", f"http://{'a' * 70}.example/x", "http://a:99999/", "http://a:abc/"]
)
def test_a_redirect_to_what_is_no_address(server: Server, web: Web, to: str) -> None:
    url = server.on("/a", redirect(to))
    with pytest.raises(Unreachable, match="redirects to what is no address"):
        web.send(Request(url))
    with pytest.raises(Unreachable, match="not a web address"):
        web.send(Request(to, base=url))


@pytest.mark.parametrize("value", ["md5=AAAA", "crc32c=AAAA,md5=", "md5=%%%", "crc32c"])
def test_an_announced_sum_that_is_none_says_nothing(server: Server, web: Web, value: str) -> None:
    url = server.on("/a", Answer(DATA, headers={"x-goog-hash": value}))
    assert web.send(Request(url)).body == DATA


def test_a_service_that_fails_behind_a_redirect_is_the_one_to_blame(
    server: Server, web: Web
) -> None:
    good = server.on("/good", Answer(DATA))
    with serving() as gone:
        dead = gone.url
    bad = server.on("/bad", redirect(f"{dead}/x"))
    for _ in range(QUICK.hopeless):
        with pytest.raises(Unreachable):
            web.send(Request(bad))
    with pytest.raises(Unreachable, match="not asked, as"):
        web.send(Request(bad))
    assert web.send(Request(good)).body == DATA


def test_any_answer_is_a_sign_of_life(server: Server, web: Web) -> None:
    bad, none = server.on("/bad", Answer(status=500)), server.on("/none", Answer(status=404))
    for _ in range(QUICK.hopeless + 2):
        with pytest.raises(Unreachable, match="it answered 500"):
            web.send(Request(bad))
        with pytest.raises(Refused):
            web.send(Request(none))


def test_a_wrong_sum_does_not_make_new_attempts(server: Server, web: Web) -> None:
    """Though each download is cut once, continued, and so brings a megabyte every time."""
    headers = {**MARK, "x-goog-hash": f"md5={base64.b64encode(bytes(16)).decode()}"}
    whole = Answer(DATA, headers=headers, ranges=True)
    url = server.on("/a", *([Answer(DATA, headers=headers, ranges=True, cut=1_200_000), whole] * 9))
    with pytest.raises(Unreachable, match=rf"{QUICK.attempts} attempts"):
        web.file(Request(url), "file.zip")
    assert len(server.asked) <= 2 * QUICK.attempts + 2
