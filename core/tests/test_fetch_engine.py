"""The fetch: from a source on loopback to a folder, whatever happens on the way."""

import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from PIL import Image
from web_server import Answer, Server, serving

from ganctl import GanctlError, Item, Opt, Page, Request, Secret, Terms, UserError, Web, WebSource
from ganctl.errors import Interrupted  # noqa: F401  (the script of a child takes it from here)
from ganctl.fetch.answers import Later
from ganctl.fetch.engine import PAUSE, Progress, Report, fetch
from ganctl.fetch.fetched import Fetched, FetchedOptions, is_complete
from ganctl.fetch.manifest import Manifest, Outcome
from ganctl.fetch.pacing import Patience
from ganctl.fetch.terms import agreed

QUICK = Patience(read=2, whole=5, attempts=3, first_wait=0.01, longest_wait=0.02, hopeless=50)


@dataclass(frozen=True)
class ListOptions:
    url: Annotated[str, Opt("The service.")] = ""
    also: Annotated[str, Opt("Anything.")] = ""
    edition: Annotated[str, Opt("Of the listing.")] = ""


class Listing(WebSource[ListOptions], api=1):
    """Pages of JSON that name pictures: `{"items": [{"id", "url", "label"}], "more": bool}`."""

    def base(self, options: ListOptions) -> str:
        return options.url

    def identity(self, options: ListOptions) -> dict[str, Any]:
        return {"url": options.url, "also": options.also}

    def edition(self, options: ListOptions) -> str:
        return options.edition

    def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
        number, more = int(cursor or 0), True
        while more:
            answer = web.json(Request(f"{options.url}/list/{number}"))
            number, more = number + 1, answer["more"]
            yield Page(
                tuple(Item(i["id"], i["url"], i.get("label")) for i in answer["items"]),
                str(number) if more else None,
            )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as server:
        yield server


def picture(seed: int, size: tuple[int, int] = (64, 48), kind: str = "jpeg") -> bytes:
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(size)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def offer(server: Server, pictures: dict[str, Any], per_page: int = 10) -> ListOptions:
    """Serve these: answers, or bytes, by name."""
    names = list(pictures)
    for name, answer in pictures.items():
        answers = answer if isinstance(answer, list) else [answer]
        server.on(f"/{name}", *(Answer(a) if isinstance(a, bytes) else a for a in answers))
    for number, begin in enumerate(range(0, max(len(names), 1), per_page)):
        items = [
            {"id": name, "url": f"{server.url}/{name}", "label": name[0]}
            for name in names[begin : begin + per_page]
        ]
        more = begin + per_page < len(names)
        page = json.dumps({"items": items, "more": more}).encode()
        server.on(f"/list/{number}", Answer(page))
    return ListOptions(server.url)


def run(options: ListOptions, folder: Path, **rest: Any) -> Report:
    return fetch(Listing(), options, folder, name="listing", patience=QUICK, **rest)


def kept(folder: Path) -> dict[str, bytes]:
    """The pictures by key."""
    source, options = Fetched(), FetchedOptions(str(folder))
    return {item.key: source.open(options, item) for item in source.items(options)}


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    db = sqlite3.connect(folder / "manifest.sqlite")
    db.row_factory = sqlite3.Row
    rows = {row["key"]: dict(row) for row in db.execute("SELECT * FROM items ORDER BY number")}
    db.close()
    return rows


def times_asked(server: Server) -> dict[str, int]:
    paths = server.paths()
    return {path: paths.count(path) for path in paths if not path.startswith("/list")}


def test_a_set_comes_whole_and_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    pictures = {f"{'ab'[n % 2]}{n}": picture(n) for n in range(35)}
    options = offer(server, pictures)
    seen: list[tuple[int, int, int]] = []

    def advance(progress: Progress) -> None:
        seen.append((progress.listed, progress.done, progress.bytes))

    report = run(options, tmp_path / "out", terms="listing@1", advance=advance)
    assert (report.listed, report.stored, report.failed, report.skipped) == (35, 35, 0, 0)
    assert report.bytes == sum(map(len, pictures.values()))
    assert seen == sorted(seen)
    assert seen[-1] == (35, 35, report.bytes)
    assert kept(tmp_path / "out") == pictures
    assert list(kept(tmp_path / "out")) == list(pictures)
    row = manifest(tmp_path / "out")["a0"]
    assert (row["width"], row["height"], row["label"], row["terms"]) == (64, 48, "a", "listing@1")
    asked = len(server.asked)
    assert run(options, tmp_path / "out") == report
    assert len(server.asked) == asked
    assert not list((tmp_path / "out").rglob("*.part"))
    listing = json.loads((tmp_path / "out/pictures/dataset.json").read_text())
    assert listing["label_names"] == ["a", "b"]
    assert len(listing["labels"]) == 35


def test_what_is_no_picture_is_left_out_with_a_reason(server: Server, tmp_path: Path) -> None:
    good, flipped = picture(0), bytearray(picture(1))
    flipped[2:4] = b"\0\0"
    bomb = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "png")
    pictures = {
        "good": good,
        "cut": picture(2, (200, 200))[:-200],
        "cut.png": picture(2, kind="png")[:-200],
        "empty": b"",
        "flipped": bytes(flipped),
        "html.jpg": b"<html><body>Please log in",
        "svg.jpg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "bomb": bomb.getvalue(),
        "gone": Answer(status=404),
    }
    report = run(offer(server, pictures), tmp_path)
    assert (report.stored, report.skipped) == (1, 8)
    assert kept(tmp_path) == {"good": good}
    errors = {key: row["error"] for key, row in manifest(tmp_path).items() if row["error"]}
    assert "truncated" in errors["cut"]
    assert errors["empty"] == "unreadable: an empty file"
    assert errors["html.jpg"] == errors["svg.jpg"] == "unreadable: not a picture file"
    assert "12000x12000 is over" in errors["bomb"]
    assert "404" in errors["gone"]
    asked = len(server.asked)
    run(offer(server, pictures), tmp_path)
    assert len(server.asked) == asked
    assert report.reasons == {"unreadable": 7, "refused (404)": 1}


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "webp", "gif", "tiff"])
def test_every_cut_is_found_as_a_whole_decoding_finds_it(kind: str) -> None:
    from ganctl import Unreadable
    from ganctl.data.pixels import decode, go_through, open_picture

    buffer = io.BytesIO()
    options = {"progressive": True} if kind == "progressive" else {}
    image = Image.open(io.BytesIO(picture(3, (80, 60), "png")))
    image.save(buffer, "jpeg" if kind == "progressive" else kind, **options)
    data = buffer.getvalue()

    def passes(data: bytes, whole: bool) -> bool:
        try:
            decode(data, 3) if whole else go_through(open_picture(data))
        except Unreadable:
            return False
        return True

    assert passes(data, False)
    for size in range(0, len(data), 7):
        assert passes(data[:size], False) == passes(data[:size], True), size


def test_duplicates_are_of_the_first_in_the_listing(server: Server, tmp_path: Path) -> None:
    first, other = picture(0, (300, 300)), picture(1)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(first)).resize((200, 200)).save(buffer, "jpeg", quality=70)
    slow = Answer(first, hang=0.5)
    pictures = {"a": slow, "b": other, "same": first, "alike": buffer.getvalue()}
    report = run(offer(server, pictures), tmp_path)
    assert list(kept(tmp_path)) == ["a", "b"]
    assert report.duplicates == 2
    rows = manifest(tmp_path)
    assert rows["same"]["error"] == "duplicate: the same file as a"
    assert rows["alike"]["error"] == "near duplicate: looks like a"
    assert len(list((tmp_path / "duplicates").iterdir())) == 2
    assert set(times_asked(server).values()) == {1}


def test_a_key_that_is_listed_twice_is_fetched_once(server: Server, tmp_path: Path) -> None:
    options = offer(server, {"a": picture(0)})
    item = {"id": "a", "url": f"{server.url}/a"}
    page = json.dumps({"items": [item, item], "more": False}).encode()
    server.on("/list/0", Answer(page))
    assert run(options, tmp_path).listed == 1
    assert times_asked(server) == {"/a": 1}


def test_a_new_edition_of_the_listing_is_followed(server: Server, tmp_path: Path) -> None:
    pictures: dict[str, Any] = {f"a{n}": picture(n) for n in range(15)}
    pictures |= {"gone": Answer(status=404), "same": pictures["a3"]}
    first = run(replace(offer(server, pictures), edition="1"), tmp_path)
    assert (first.listed, first.stored, first.duplicates, first.skipped) == (17, 15, 1, 1)
    asked = times_asked(server)
    del pictures["a3"], pictures["a14"]
    pictures |= {"b": picture(20), "gone": picture(21)}
    second = run(replace(offer(server, pictures), edition="2"), tmp_path)
    assert kept(tmp_path) == pictures  # of the two that were the same, the other
    assert (second.listed, second.stored, second.duplicates, second.skipped) == (16, 16, 0, 0)
    new = {path: n - asked.get(path, 0) for path, n in times_asked(server).items()}
    assert {path for path, n in new.items() if n} == {"/b", "/gone"}
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 16
    assert len(list((tmp_path / "removed").iterdir())) == 2

    options = replace(offer(server, pictures), edition="3")
    item = {"id": "a14", "url": f"{server.url}/a14", "label": "other"}
    server.on("/list/0", Answer(json.dumps({"items": [item], "more": False}).encode()))
    server.asked.clear()
    assert run(options, tmp_path).stored == 1
    assert manifest(tmp_path)["a14"]["label"] == "other"
    assert server.paths() == ["/list/0"]  # it was in `removed`


def test_what_failed_comes_the_next_time(server: Server, tmp_path: Path) -> None:
    broken = [Answer(status=500)] * QUICK.attempts
    pictures = {"a": [*broken, picture(0)], "b": picture(1), "c": [Answer(status=403), picture(2)]}
    options = offer(server, pictures)
    report = run(options, tmp_path)
    assert (report.stored, report.failed) == (1, 2)
    assert "500 (3 attempts)" in manifest(tmp_path)["a"]["error"]
    assert run(options, tmp_path).stored == 3
    assert list(kept(tmp_path)) == ["a", "b", "c"]
    assert times_asked(server) == {"/a": 4, "/b": 1, "/c": 2}
    assert manifest(tmp_path)["a"]["attempts"] == 2


def test_the_listing_goes_on_where_it_failed(server: Server, tmp_path: Path) -> None:
    pictures = {f"p{n}": picture(n) for n in range(30)}
    options = offer(server, pictures)
    page = server.answers("/list/2")
    server.on("/list/2", Answer(b"<html>"))
    with pytest.raises(GanctlError, match="not JSON"):
        run(options, tmp_path)
    assert len(manifest(tmp_path)) == 20
    server.on("/list/2", *page)
    assert run(options, tmp_path).stored == 30
    assert kept(tmp_path) == pictures
    assert server.paths().count("/list/0") == server.paths().count("/list/1") == 1
    assert set(times_asked(server).values()) == {1}


def test_a_long_pause_ends_the_fetch_and_keeps_what_is_there(
    server: Server, tmp_path: Path
) -> None:
    pictures: dict[str, Any] = {f"p{n}": picture(n) for n in range(20)}
    pictures["p12"] = [Answer(status=429, headers={"Retry-After": "7200"}), picture(12)]
    options = offer(server, pictures)
    with pytest.raises(Later, match=r"2:00:00 .* come back after \d{4}-"):
        run(options, tmp_path)
    assert run(options, tmp_path).stored == 20
    assert {path for path, n in times_asked(server).items() if n > 1} == {"/p12"}


def test_nothing_at_all_is_an_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(GanctlError, match="no picture among the 2 listed: a: refused"):
        run(offer(server, dict.fromkeys("ab", Answer(status=404))), tmp_path / "a")
    with pytest.raises(GanctlError, match="the source lists no picture"):
        run(offer(server, {}), tmp_path / "b")


def test_a_picture_that_was_deleted_comes_again(server: Server, tmp_path: Path) -> None:
    options = offer(server, {"a": picture(0), "b": picture(1), "c": picture(2)})
    run(options, tmp_path)
    files = [tmp_path / "pictures" / row["file"] for row in manifest(tmp_path).values()]
    files[0].unlink()
    files[1].write_bytes(b"cut")
    (tmp_path / "pictures/.x.part").write_bytes(b"of a process that was killed")
    assert run(options, tmp_path).stored == 3
    assert times_asked(server) == {"/a": 2, "/b": 2, "/c": 1}
    assert not list(tmp_path.rglob("*.part"))


def test_a_cut_picture_that_comes_as_another_kind_leaves_no_rest(
    server: Server, tmp_path: Path
) -> None:
    options = offer(server, {"a": [picture(0), picture(0, kind="png")]})
    run(options, tmp_path)
    (file,) = (tmp_path / "pictures").glob("*.jpg")
    file.write_bytes(file.read_bytes()[:-100])
    for _ in range(2):
        assert run(options, tmp_path).stored == 1
        assert [f.suffix for f in (tmp_path / "pictures").glob("[!d]*.*g")] == [".png"]
    assert times_asked(server) == {"/a": 2}


def test_a_complete_folder_is_only_looked_at(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = offer(server, {f"p{n}": picture(n % 3) for n in range(5)})
    with monkeypatch.context() as killed:
        killed.setattr("ganctl.fetch.engine.write_labels", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(options, tmp_path)
    report = run(options, tmp_path)
    assert (report.stored, report.duplicates) == (3, 2)
    listing = (tmp_path / "pictures/dataset.json").read_bytes()
    (tmp_path / "pictures/dataset.json").unlink()
    assert run(options, tmp_path) == report
    assert (tmp_path / "pictures/dataset.json").read_bytes() == listing
    monkeypatch.setattr("ganctl.fetch.engine.settle", lambda *_: 1 / 0)
    assert run(options, tmp_path) == report


def test_the_listing_waits_for_the_pictures(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganctl.fetch.engine.LISTED_AHEAD", 10)
    monkeypatch.setattr("ganctl.fetch.engine.PAGES_AHEAD", 2)
    server.on("/p", Answer(picture(0), hang=0.01))
    most = 0

    class Endless(Listing, api=1):
        def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
            for page in range(20):
                items = (Item(f"{page}-{n}", f"{server.url}/p") for n in range(10))
                yield Page(tuple(items), str(page))

    def advance(progress: Progress) -> None:
        nonlocal most
        most = max(most, progress.listed - progress.done)

    report = fetch(
        Endless(), ListOptions(server.url), tmp_path, name="endless", workers=2, advance=advance
    )
    assert report.listed == 200
    # 10 that are due, three pages more, and what is handed out (16 for each of 2)
    assert 20 < most <= 10 + 3 * 10 + 2 * 16


def test_short_pages_are_not_waited_for_one_by_one(server: Server, tmp_path: Path) -> None:
    server.on("/p", Answer(picture(0)))
    asked: list[float] = []

    class Short(Listing, api=1):
        def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
            for page in range(100):
                asked.append(time.monotonic())
                yield Page((Item(f"{page}", f"{server.url}/p"),), str(page), (f"page {page}",))

    report = fetch(Short(), ListOptions(server.url), tmp_path, name="short", patience=QUICK)
    assert report.listed == 100
    assert report.notes == tuple(f"page {page}" for page in range(100))
    assert [row["key"] for row in manifest(tmp_path).values()] == [f"{n}" for n in range(100)]
    assert asked[-1] - asked[0] < 100 * PAUSE


def test_a_listing_at_work_does_not_hold_up_the_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = offer(server, {"a": picture(0)})
    listing = threading.Event()

    class Slow(Listing, api=1):
        def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
            yield Page((Item("a", f"{options.url}/a"),), "1")
            listing.wait(20)
            time.sleep(0.3)
            yield Page((Item("b", f"{options.url}/a"),), None)

    def full(*_: Any) -> None:
        listing.set()
        raise GanctlError("cannot write the manifest: disk full")

    monkeypatch.setattr("ganctl.fetch.manifest.Manifest.record", full)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            fetch(Slow(), options, tmp_path, name="slow", patience=QUICK)
        except GanctlError as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert "disk full" in str(errors[0])


@pytest.mark.parametrize("error", [GanctlError("the service says no"), KeyError("a defect")])
def test_a_listing_that_fails_keeps_what_came(
    server: Server, tmp_path: Path, error: Exception
) -> None:
    options = offer(server, {"a": picture(0)})

    class Broken(Listing, api=1):
        def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
            yield Page((Item("a", f"{options.url}/a"),), "1")
            while not times_asked(server):
                time.sleep(0.01)
            raise error

    with pytest.raises(type(error)) as raised:
        fetch(Broken(), options, tmp_path, name="listing", patience=QUICK)
    assert raised.value is error
    assert manifest(tmp_path)["a"]["state"] == "stored"


def test_a_downloaded_file_stays_until_all_is_fetched(server: Server, tmp_path: Path) -> None:
    class Archived(Listing, api=1):
        """Its pictures are behind a file that is downloaded once."""

        def fetch(self, options: ListOptions, item: Item, web: Web) -> bytes:
            file = web.file(Request(f"{options.url}/archive"), "archive.zip")
            return super().fetch(options, item, web) if file.read_bytes() == b"PK" else b""

    def again() -> Report:
        return fetch(Archived(), options, tmp_path, name="listing", patience=QUICK, workers=1)

    server.on("/archive", Answer(b"PK"))
    options = offer(server, {"a": picture(0), "b": [Answer(status=403), picture(1)]})
    assert again().failed == 1
    assert (tmp_path / "files/archive.zip").exists()
    assert again().failed == 0
    assert not (tmp_path / "files").exists()
    assert again().stored == 2
    assert server.paths().count("/archive") == 1
    next((tmp_path / "pictures").glob("*.jpg")).unlink()
    assert again().stored == 2
    assert server.paths().count("/archive") == 2


def test_a_folder_is_for_one_fetch(server: Server, tmp_path: Path) -> None:
    options = offer(server, {"a": picture(0)})
    run(options, tmp_path)
    with pytest.raises(UserError, match=r"holds another fetch \(also: '', not 'x'\)"):
        run(ListOptions(options.url, also="x"), tmp_path)


def test_a_manifest_that_is_none(server: Server, tmp_path: Path) -> None:
    (tmp_path / "manifest.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="not a manifest of a fetch"):
        run(offer(server, {"a": picture(0)}), tmp_path)


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        run(offer(server, {"a": picture(0)}), tmp_path / "file" / "out")
    assert not server.asked


def test_a_full_disk_is_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {f"p{n}": picture(n) for n in range(20)}
    options = offer(server, pictures)
    sync, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GanctlError, match=r"cannot write .*: No space left on device$"):
        run(options, tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "*")
    assert not list(tmp_path.rglob("*.part"))
    stored = {key for key, row in manifest(tmp_path).items() if row["state"] == "stored"}
    server.asked.clear()
    assert run(options, tmp_path).stored == 20
    assert not {f"/{key}" for key in stored} & set(server.paths())
    assert kept(tmp_path) == pictures


def test_pictures_are_synced_before_they_are_recorded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, record, synced, recorded = os.fsync, Manifest.record, set[int](), 0

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def check(manifest: Manifest, outcomes: list[Outcome], terms: str) -> None:
        nonlocal recorded
        for outcome in outcomes:
            assert (tmp_path / "pictures" / outcome.file).stat().st_ino in synced
            recorded += 1
        record(manifest, outcomes, terms)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Manifest, "record", check)
    run(offer(server, {f"p{n}": picture(n) for n in range(20)}), tmp_path)
    assert recorded == 20


def test_two_at_once(server: Server, tmp_path: Path) -> None:
    options = offer(server, {"a": Answer(picture(0), hang=1)})
    thread = threading.Thread(target=run, args=(options, tmp_path))
    thread.start()
    arrived(server, 1)
    with pytest.raises(UserError, match="another process is fetching into this folder"):
        run(options, tmp_path)
    thread.join()
    assert list(kept(tmp_path)) == ["a"]


def test_what_the_listing_says_is_kept(server: Server, tmp_path: Path) -> None:
    class Talking(Listing, api=1):
        def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
            for number, page in enumerate(super().pages(options, web, cursor)):
                yield replace(page, notes=("left out: x",) if number < 2 else ("left out: y",))

    options = offer(server, {f"p{n}": picture(n) for n in range(30)})
    for _ in range(2):
        report = fetch(Talking(), options, tmp_path, name="talking", patience=QUICK)
        assert report.notes == ("left out: x", "left out: y")


def test_an_empty_listing_is_listed_again(server: Server, tmp_path: Path) -> None:
    class Refused(Listing, api=1):
        def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
            assert cursor is None
            yield Page((), "1", ("the list: refused",))

    options = offer(server, {"a": picture(0)})
    for _ in range(2):
        with pytest.raises(GanctlError, match="no picture\nthe list: refused"):
            fetch(Refused(), options, tmp_path, name="listing", patience=QUICK)
    report = run(options, tmp_path)
    assert (report.stored, report.notes) == (1, ())


def test_a_limit_counts_what_is_listed_once(server: Server, tmp_path: Path) -> None:
    class Limited(Listing, api=1):
        def limit(self, options: ListOptions) -> int:
            return 25

    pictures = {f"p{n}": picture(n) for n in range(60)}
    options = offer(server, pictures)
    server.on("/list/1", *server.answers("/list/0"))  # ten that are known
    for _ in range(2):
        report = fetch(Limited(), options, tmp_path, name="listing", patience=QUICK)
        assert (report.listed, report.stored) == (25, 25)
    assert list(kept(tmp_path)) == [f"p{n}" for n in (*range(10), *range(20, 35))]
    assert len(server.paths()) <= 25 + 5  # it may be a page ahead


def test_terms_come_first() -> None:
    terms = Terms(
        "https://example.org/terms",
        "2025-05-15",
        "no",
        (("Do not train a model", "https://example.org/terms#IV"),),
        "Take --source coverart instead.",
    )
    with pytest.raises(UserError) as error:
        agreed("spotify", terms)
    for said in ("Do not train", "#IV", "--accept-terms spotify@2025-05-15", "coverart"):
        assert said in str(error.value)
    with pytest.raises(UserError, match="separate permission"):
        agreed("spotify", terms, "spotify@2025-05-15")
    with pytest.raises(UserError, match="the terms at hand are"):
        agreed("spotify", terms, "spotify@2024-01-01", "by the label")
    kept = agreed("spotify", terms, "spotify@2025-05-15", "the label, 2026-01-01")
    assert "permission asserted: the label, 2026-01-01" in kept
    assert "training: unclear" in agreed("caa", Terms("https://x", "1", "unclear"))
    assert agreed("x", None) == ""


def test_secrets_are_nowhere_on_the_disk(server: Server, tmp_path: Path) -> None:
    token = Secret("t0ps3cret-value")

    class Guarded(Listing, api=1):
        def request(self, options: ListOptions, item: Item) -> Request:
            headers = {"Authorization": token.within("Bearer {}")}
            return Request(item.uri, headers=headers, base=options.url)

    leak = Answer(b"t0ps3cret-value", status=500, headers={"X-Token": "t0ps3cret-value"})
    options = offer(server, {"a": picture(0), "b": leak})
    fetch(Guarded(), options, tmp_path, name="t0ps3cret-value", patience=QUICK)
    assert server.asked[-1].headers["authorization"] == "Bearer t0ps3cret-value"
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"t0ps3cret" not in file.read_bytes(), file


# Processes that are interrupted or killed

SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from test_fetch_engine import Interrupted, ListOptions, run
try:
    print(run(ListOptions({url!r}), Path({out!r})).stored)
except Interrupted as stopped:
    print(stopped)
    sys.exit(3)
"""


def process(server: Server, out: Path) -> subprocess.Popen[str]:
    path = [str(Path(__file__).parent), *sys.path]
    script = SCRIPT.format(path=path, url=server.url, out=str(out))
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True)


def arrived(server: Server, count: int) -> None:
    until = time.monotonic() + 20
    while len(server.asked) < count and time.monotonic() < until:
        time.sleep(0.002)


def test_ctrl_c_once_saves_and_the_next_goes_on(server: Server, tmp_path: Path) -> None:
    pictures = {f"p{n}": Answer(picture(n), hang=0.1) for n in range(100)}
    offer(server, pictures)
    child = process(server, tmp_path)
    arrived(server, 25)
    child.send_signal(signal.SIGINT)
    out, said = child.communicate(timeout=20)
    assert child.returncode == 3, said
    assert "the same command goes on" in out
    assert said.strip() == "ganctl: saving what is on its way; again to stop at once"
    states = [row["state"] for row in manifest(tmp_path).values()]
    assert states.count("stored") == sum(times_asked(server).values()) < 100
    assert run(ListOptions(server.url), tmp_path).stored == 100
    assert set(times_asked(server).values()) == {1}


def test_ctrl_c_twice_stops_at_once(server: Server, tmp_path: Path) -> None:
    offer(server, {f"p{n}": Answer(picture(n), hang=30) for n in range(20)})
    child = process(server, tmp_path)
    arrived(server, 5)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=20)
    assert child.returncode not in (0, 3)
    assert time.monotonic() - began < 10


def test_killed_again_and_again_it_comes_to_the_same_set(server: Server, tmp_path: Path) -> None:
    pictures = {f"p{n}": Answer(picture(n % 290), hang=0.01) for n in range(300)}
    offer(server, pictures)
    random_state = random.Random(0)
    for _ in range(6):
        child = process(server, tmp_path / "killed")
        arrived(server, len(server.asked) + random_state.randrange(3, 60))
        child.kill()
        child.communicate()
        stored = {f.stem for f in (tmp_path / "killed" / "pictures").glob("[!.]*")}
    asked = times_asked(server)
    assert max(asked.values()) <= 7
    before = len(server.asked)
    assert run(ListOptions(server.url), tmp_path / "killed").stored == 290
    from ganctl.fetch.pictures import stem_of

    again = {stem_of(path[1:]) for path in server.paths()[before:] if path[:2] == "/p"}
    assert not again & stored
    run(ListOptions(server.url), tmp_path / "whole")
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")
    assert list(kept(tmp_path / "killed")) == list(kept(tmp_path / "whole"))


def test_what_failed_before_comes_last(server: Server, tmp_path: Path) -> None:
    """A few pictures that never come must not keep a later run from the others."""
    pictures: dict[str, Any] = {f"p{n}": picture(n) for n in range(60)}
    bad = {f"p{n}" for n in range(0, 24, 2)}
    impatient = replace(QUICK, hopeless=3)
    options = offer(server, {k: Answer(status=500) if k in bad else v for k, v in pictures.items()})
    for _ in range(6):  # each ends with three or more that are asked last from then on
        with suppress(GanctlError):
            fetch(Listing(), options, tmp_path, name="listing", patience=impatient)
        if kept(tmp_path).keys() == pictures.keys() - bad:
            break
    assert kept(tmp_path).keys() == pictures.keys() - bad
    assert run(offer(server, pictures), tmp_path).stored == 60


def test_one_that_wants_a_long_pause_does_not_end_the_others(
    server: Server, tmp_path: Path
) -> None:
    with serving() as busy:
        busy.on("/x", Answer(status=503, headers={"Retry-After": "7200"}))
        pictures: dict[str, Any] = {f"p{n}": picture(n) for n in range(40)}
        options = offer(server, pictures)
        page = json.loads(server.answers("/list/0")[0].body)  # type: ignore[union-attr]
        page["items"][0]["url"] = f"{busy.url}/x"
        server.on("/list/0", Answer(json.dumps(page).encode()))
        with pytest.raises(Later, match="asks to be left alone for 2:00:00"):
            run(options, tmp_path)
        assert len(busy.asked) == 1
    assert len([row for row in manifest(tmp_path).values() if row["state"] == "stored"]) == 39


def test_a_fetch_that_is_not_settled_is_not_complete(server: Server, tmp_path: Path) -> None:
    options = offer(server, {"a": picture(0), "b": picture(0), "c": Answer(status=403)})
    run(options, tmp_path)
    assert is_complete(tmp_path)
    assert not is_complete(tmp_path, nothing_failed=True)
    assert not is_complete(tmp_path, "another edition")
    with sqlite3.connect(tmp_path / "manifest.sqlite") as db:
        db.execute("DELETE FROM facts WHERE name = 'settled'")  # as a killed process leaves it
    assert not is_complete(tmp_path)


def test_text_that_is_half_a_character_is_kept(server: Server, tmp_path: Path) -> None:
    options = offer(server, {"a": picture(0)})
    page = server.answers("/list/0")[0].body.replace(b'"label": "a"', b'"label": "\\ud800"')  # type: ignore[union-attr]
    server.on("/list/0", Answer(page))
    run(options, tmp_path)
    assert manifest(tmp_path)["a"]["label"] == "\\ud800"


def test_more_and_other_labels_can_be_asked_for(server: Server, tmp_path: Path) -> None:
    """With a `limit`, and an `edition` that says when labels or it are others."""
    options = offer(server, {f"p{n}": picture(n) for n in range(40)})

    def listed(limit: int, label: str) -> list[tuple[str, str]]:
        class Labelled(Listing, api=1):
            def limit(self, options: ListOptions) -> int:
                return limit

            def edition(self, options: ListOptions) -> str:
                return f"{limit} {label}"

            def pages(self, options: ListOptions, web: Web, cursor: str | None) -> Iterator[Page]:
                for page in super().pages(options, web, cursor):
                    yield replace(page, items=tuple(replace(i, label=label) for i in page.items))

        fetch(Labelled(), options, tmp_path, name="listing", patience=QUICK)
        rows = manifest(tmp_path)
        assert {row["state"] for row in rows.values()} == {"stored"}
        return [(key, row["label"]) for key, row in rows.items()]

    for limit, label in ((15, "x"), (25, "x"), (25, "y"), (5, "y"), (30, "z")):
        assert listed(limit, label) == [(f"p{n}", label) for n in range(limit)]
    assert set(times_asked(server).values()) == {1}
