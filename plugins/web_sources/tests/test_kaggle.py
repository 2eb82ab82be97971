"""Kaggle's datasets through the fetch: what comes, what is kept, and what a user reads."""

import io
import json
import random
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import (
    BitFlip,
    Body,
    Call,
    Delay,
    Drip,
    Drop,
    Html,
    Ignore,
    Kaggle,
    Status,
    archive,
    jpeg,
    picture,
    wrong_hash,
)
from servers.kaggle import SERVICE
from servers.odd import bad_archives

from ganctl import GanctlError, UserError, Web
from ganctl.fetch.answers import Later
from ganctl.fetch.engine import Progress, Report, fetch
from ganctl.fetch.pacing import Patience
from ganctl_web_sources.kaggle import Kaggle as Source
from ganctl_web_sources.kaggle import KaggleOptions

QUICK = Patience(read=1, whole=5, attempts=4, first_wait=0.01, longest_wait=0.02)
COVERS = {f"covers/{'ab'[i % 2]}/{i}.jpg": jpeg(picture(i, 64)) for i in range(12)}
PAD = {"covers/about.bin": random.Random(0).randbytes(200_000)}
"""So that there is a middle to be cut at."""

GET, DOWNLOAD = f"{SERVICE}/GetDataset", f"{SERVICE}/DownloadDataset"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with Kaggle() as server:
        server.add("someone/covers", archive(COVERS | PAD), license="CC BY-SA 4.0")
        yield server


def run(
    server: Kaggle,
    out: Path,
    dataset: str = "someone/covers",
    patience: Patience = QUICK,
    advance: Callable[[Progress], None] = lambda progress: None,
    **more: Any,
) -> Report:
    options = KaggleOptions(dataset, api_url=server.api.url, **more)
    return fetch(Source(), options, out, name="kaggle", patience=patience, advance=advance)


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    db = sqlite3.connect(folder / "manifest.sqlite")
    db.row_factory = sqlite3.Row
    found = {row["key"]: dict(row) for row in db.execute("SELECT * FROM items ORDER BY number")}
    db.close()
    return found


def kept(folder: Path) -> dict[str, bytes]:
    return {
        key: (folder / "pictures" / row["file"]).read_bytes()
        for key, row in rows(folder).items()
        if row["state"] == "stored"
    }


def asked(server: Kaggle, begin: int = 0) -> list[str]:
    return [entry.path.rpartition("/")[2] for entry in server.journal.requests()[begin:]]


def test_a_dataset_comes_whole_and_the_archive_goes(server: Kaggle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = run(server, out, label="folder")
    assert (report.listed, report.stored, report.skipped) == (13, 12, 1)
    assert kept(out) == COVERS
    assert list(kept(out)) == list(COVERS)
    row = rows(out)["covers/b/1.jpg"]
    assert row["label"] == "b"
    assert row["uri"] == (
        "https://www.kaggle.com/datasets/someone/covers/versions/1?select=covers%2Fb%2F1.jpg"
    )
    assert json.loads(row["meta"]) == {"version": 1, "licence": "CC BY-SA 4.0"}
    assert rows(out)["covers/about.bin"]["error"] == "unreadable: not a picture by its name"
    assert "someone/covers, version 1: licence: CC BY-SA 4.0 (https" in report.notes[0]
    assert asked(server) == ["GetDataset", "DownloadDataset", "archive.zip"]
    assert not (out / "files").exists()
    assert run(server, out, label="folder").notes == report.notes
    assert len(server.journal) == 3
    next((out / "pictures").glob("*.jpg")).unlink()
    assert run(server, out, label="folder").stored == 12
    assert asked(server, 3) == ["DownloadDataset", "archive.zip"]
    assert not (out / "files").exists()


def test_a_download_tells_how_far_it_is(server: Kaggle, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    server.script.on("*.zip", Drip(50_000, 0.3))
    run(server, tmp_path, advance=lambda now: seen.append(now.file) if now.file else None)
    size = len(server.datasets["someone", "covers"].versions[0].content)
    assert seen == sorted(seen)
    assert len(set(seen)) > 1
    assert {total for _, total in seen} == {size}


def test_a_plan_is_one_request(server: Kaggle) -> None:
    options = KaggleOptions("someone/covers", api_url=server.api.url)
    web = Web()
    plan = Source().plan(options, web)
    size = len(server.datasets["someone", "covers"].versions[0].content)
    assert (plan.items, plan.bytes, plan.requests) == (None, size, 3)
    assert "licence: CC BY-SA 4.0" in plan.notes[0]
    assert "the disk holds the archive" in plan.notes[1]
    server.datasets["someone", "covers"].license = None
    assert "Kaggle names no licence" in Source().plan(options, web).notes[0]
    web.close()
    assert asked(server) == ["GetDataset", "GetDataset"]


def test_some_of_a_dataset(server: Kaggle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(server, out, folder="covers/b/", limit=4).stored == 4
    assert list(kept(out)) == [f"covers/b/{i}.jpg" for i in (1, 3, 5, 7)]
    with pytest.raises(UserError, match="no folder 'cover' in the archive; it has covers"):
        run(server, tmp_path / "none", folder="cover")
    assert run(server, tmp_path / "none2", limit=100).stored == 12


@pytest.mark.parametrize(
    "text",
    [
        "someone/covers",
        " someone/covers ",
        "https://www.kaggle.com/datasets/someone/covers",
        "https://www.kaggle.com/datasets/someone/covers/data?select=a.jpg",
        "http://kaggle.com/datasets/someone/covers#x",
    ],
)
def test_a_dataset_by_any_of_its_names_is_one(text: str) -> None:
    source = Source()
    assert source.identity(KaggleOptions(text))["dataset"] == "someone/covers"
    raised = KaggleOptions(text, max_archive_gb=99, max_unpacked_gb=99)
    assert source.identity(raised) == source.identity(KaggleOptions(text))


def test_versions_by_their_names() -> None:
    for text in ("a/b@3", "a/b/versions/3", "https://www.kaggle.com/datasets/a/b/versions/3"):
        assert Source().identity(KaggleOptions(text))["dataset"] == "a/b@3"


@pytest.mark.parametrize(
    "text",
    ["", "covers", "a/b/c", "a/b@", "a/b@0", "a/b@x", "../b", "a/..", "https://evil.example/a/b"],
)
def test_what_names_no_dataset(text: str) -> None:
    with pytest.raises(UserError, match=r"say --source\.dataset OWNER/DATASET"):
        Source().check(KaggleOptions(text))


def test_credentials_go_to_kaggle_alone() -> None:
    for url in ("https://api.kaggle.com.evil.example", "http://api.kaggle.com", "https://[", "x"):
        with pytest.raises(UserError, match=r"api_url is https://api\.kaggle\.com, or a server on"):
            Source().check(KaggleOptions("a/b", api_url=url))
    for url in ("https://api.kaggle.com/", "http://[::1]:80", "https://localhost:8"):
        Source().check(KaggleOptions("a/b", api_url=url))


# What servers do


def test_every_passing_fault_in_one_fetch(server: Kaggle, tmp_path: Path) -> None:
    """Kaggle's own client gives up at the first 429 or 503, and keeps what it did not ask for."""
    script = server.script
    script.on(GET, Status(429, retry_after=0), requests={1})
    script.on(GET, Status(503), requests={2})
    script.on(DOWNLOAD, Status(500), requests={1})
    script.on(DOWNLOAD, Status(429, retry_after=1), requests={2})
    script.on("*.zip", Drop(after=70_000), requests={1})
    script.on("*.zip", Html(), requests={2})
    script.on("*.zip", Drop(after=20_000, reset=True), requests={3})
    script.on("*.zip", BitFlip(), requests={4})  # so the sum of the whole is wrong
    assert run(server, tmp_path, patience=replace(QUICK, attempts=8)).stored == 12
    assert kept(tmp_path) == COVERS
    ranges = [entry.headers.get("Range") for entry in server.journal.requests("*.zip")]
    assert ranges[:2] == [None, "bytes=70000-"]
    assert ranges[2] == "bytes=70000-"  # the web page took nothing away
    assert ranges[3].startswith("bytes=")
    assert ranges[4:] == [None]
    assert not server.journal.authorized("storage")
    assert server.journal.gaps(DOWNLOAD)[1] >= 1


@pytest.mark.parametrize("fault", ["ignored", "changed"])
def test_an_archive_that_cannot_be_continued(server: Kaggle, tmp_path: Path, fault: str) -> None:
    dataset = server.datasets["someone", "covers"]
    others = {f"{i}.jpg": jpeg(picture(100 + i, 64)) for i in range(3)}
    changes = Call(lambda: dataset.replace(archive(others | PAD)))
    server.script.on("*.zip", Drop(after=70_000), requests={1})
    server.script.on("*.zip", Ignore("Range") if fault == "ignored" else changes, requests={2})
    run(server, tmp_path)
    assert kept(tmp_path) == (COVERS if fault == "ignored" else others)
    assert server.journal.requests("*.zip")[1].headers["If-Range"]


def test_a_server_that_hangs_is_given_up(server: Kaggle, tmp_path: Path) -> None:
    """Kaggle's own client waits for ever."""
    server.script.on(GET, Delay(3600))
    began = time.monotonic()
    hasty = Patience(read=0.2, attempts=2, first_wait=0.01)
    with pytest.raises(GanctlError, match=r"GetDataset: no byte within 0\.2 s \(2 attempts\)"):
        run(server, tmp_path, patience=hasty)
    assert time.monotonic() - began < 5


def test_a_long_pause_says_when_to_come_back(server: Kaggle, tmp_path: Path) -> None:
    server.script.on("*.zip", Drop(after=70_000), requests={1})
    server.script.on(DOWNLOAD, Status(429, retry_after=7200), requests={2})
    with pytest.raises(Later, match=r"2:00:00 .* come back after"):
        run(server, tmp_path)
    assert run(server, tmp_path).stored == 12
    assert server.journal.requests("*.zip")[-1].headers["Range"] == "bytes=70000-"


def test_sums_that_never_fit(server: Kaggle, tmp_path: Path) -> None:
    server.script.on("*.zip", wrong_hash())
    with pytest.raises(GanctlError, match=r"the archive of version 1: .*its md5 is .* \(4 attemp"):
        run(server, tmp_path)
    assert list((tmp_path / "files").iterdir()) == []
    server.script.clear()
    assert run(server, tmp_path).stored == 12


@pytest.mark.parametrize("content", [b"not an archive", bad_archives()["cut short"]])
def test_what_is_no_archive_is_not_kept(server: Kaggle, tmp_path: Path, content: bytes) -> None:
    server.script.on("*.zip", Body(content), requests={1})
    with pytest.raises(GanctlError, match="not kept: it is no zip archive that can be read"):
        run(server, tmp_path)
    assert list((tmp_path / "files").iterdir()) == []
    assert run(server, tmp_path).stored == 12


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (403, r"none, or not for you \(403; no credentials were found\)"),
        (404, r"none, or not for you \(404"),
        (418, "answered 418"),
    ],
)
@pytest.mark.parametrize("call", [GET, DOWNLOAD])
def test_refusals(server: Kaggle, tmp_path: Path, call: str, status: int, says: str) -> None:
    server.script.on(call, Status(status))
    with pytest.raises(GanctlError, match=says) as error:
        run(server, tmp_path)
    assert error.value.exit_status == (1 if status == 418 else 2)
    assert "someone/covers" in str(error.value)


@pytest.mark.parametrize(
    "answer", [b"[]", b"{}", b'{"currentVersionNumber": "x"}', b'{"currentVersionNumber": true}']
)
def test_answers_that_make_no_sense(server: Kaggle, tmp_path: Path, answer: bytes) -> None:
    server.script.on(GET, Body(answer, "application/json"))
    with pytest.raises(GanctlError, match="Kaggle names no version of it"):
        run(server, tmp_path)


def test_versions(server: Kaggle, tmp_path: Path) -> None:
    new = {"new.jpg": jpeg(picture(500, 64))}
    server.datasets["someone", "covers"].publish(archive(new))
    run(server, tmp_path / "newest")
    assert kept(tmp_path / "newest") == new
    report = run(server, tmp_path / "first", "someone/covers@1")
    assert kept(tmp_path / "first") == COVERS
    assert not any("by now" in note for note in report.notes)
    with pytest.raises(UserError, match="someone/covers@3: the newest version is 2"):
        run(server, tmp_path / "third", "someone/covers@3")


def test_limits_may_be_raised(server: Kaggle, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"more than the 100,000 .*--source\.max-archive-gb, now 0"):
        run(server, tmp_path, max_archive_gb=1e-4)
    total = sum(map(len, COVERS.values()))
    with pytest.raises(UserError, match=r"--source\.max-unpacked-gb"):
        run(server, tmp_path, max_unpacked_gb=(total - 1) / 1e9)
    assert run(server, tmp_path, max_unpacked_gb=total / 1e9).stored == 12
    assert len(server.journal.requests("*.zip")) == 2  # not a third time


def test_an_archive_that_means_harm(server: Kaggle, tmp_path: Path) -> None:
    """All of them at once; the pictures beside come, and nothing else is anywhere."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, content in COVERS.items():
            whole.writestr(name, content)
        for kind, bad in bad_archives().items():
            if kind in ("many", "cut short"):
                continue
            with zipfile.ZipFile(io.BytesIO(bad)) as one:
                for info in one.infolist()[1:]:
                    info_copy, data = zipfile.ZipInfo("x"), one.read(info)
                    info_copy.filename, info_copy.external_attr = info.filename, info.external_attr
                    info_copy.compress_type = zipfile.ZIP_DEFLATED
                    with pytest.MonkeyPatch.context() as patch:
                        patch.setattr("warnings.warn", lambda *args, **more: None)
                        whole.writestr(info_copy, data)
    server.add("someone/harm", buffer.getvalue())
    out = tmp_path / "deep/down/out"
    report = run(server, out, "someone/harm")
    assert report.stored == 13  # one of the odd names is a picture of its own
    assert kept(out).items() >= COVERS.items()
    assert report.skipped == 11
    there = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(out) for path in there)
    assert {path.parent.name for path in there} == {"out", "pictures", "duplicates"}
    assert all(path.stem.isalnum() for path in (out / "pictures").glob("*.jpg"))
    assert not Path("/tmp/outside.jpg").exists()
