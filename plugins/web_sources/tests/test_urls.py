"""`--source urls`: the real command on lists, against servers on loopback and their faults."""

import csv
import io
import json
import resource
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ganctl_command import Ganctl
from PIL import Image
from servers import (
    Authority,
    BitFlip,
    Chunked,
    Delay,
    Drip,
    Drop,
    Files,
    Length,
    Loop,
    Redirect,
    Status,
    Truncate,
    jpeg,
    picture,
)
from servers.odd import broken_pictures, odd_pictures

from ganctl.fetch.engine import fetch
from ganctl.fetch.pacing import Patience
from ganctl_web_sources.urls import URLs, URLsOptions

QUICK = Patience(read=1, whole=1, attempts=2, first_wait=0.01, longest_wait=0.01, hopeless=50)


@pytest.fixture
def ganctl(tmp_path: Path) -> Ganctl:
    return Ganctl(tmp_path)


@pytest.fixture
def files() -> Iterator[Files]:
    with Files() as files:
        yield files
        assert not files.web.errors


def fetching(*words: object, path: str = "list.txt", out: str = "out") -> list[object]:
    every = ("--source.every", 0)
    return ["fetch", "--source", "urls", "--source.path", path, "--out", out, *every, *words]


def offer(files: Files, count: int, start: int = 0) -> list[str]:
    """So many pictures; their addresses."""
    return [files.add(f"/{n}.jpg", jpeg(picture(n, 64))) for n in range(start, start + count)]


def write(ganctl: Ganctl, lines: list[str], name: str = "list.txt") -> None:
    (ganctl.folder / name).write_text("\n".join(lines))


def by_name(ganctl: Ganctl, out: str = "out") -> dict[str, dict[str, Any]]:
    """The manifest's rows by the last part of their addresses."""
    return {key.rpartition("/")[2]: row for key, row in ganctl.rows(out).items()}


def asked(files: Files) -> list[str]:
    return [request.path for request in files.journal.requests()]


# Pictures


@pytest.mark.slow
def test_odd_pictures_through_fetch_and_preparation(files: Files, ganctl: Ganctl) -> None:
    names = list(odd_pictures())
    odd = {name: odd_pictures(900 + 7 * n)[name] for n, name in enumerate(names)}
    urls = [files.add(f"/{name}", data) for name, data in (odd | broken_pictures()).items()]
    write(ganctl, urls)
    done = ganctl(*fetching())
    assert "11 pictures of 19 listed" in done.stderr
    assert "left out 8: unreadable (such as http" in done.stderr
    rows = by_name(ganctl)
    assert {name for name, row in rows.items() if row["state"] == "stored"} == set(odd)
    errors = {name: rows[name]["error"] for name in broken_pictures()}
    assert errors.pop("truncated.jpg").startswith("unreadable: image file is truncated")
    assert errors.pop("bit-flipped.png").startswith("unreadable: ")
    assert errors.pop("garbage.jpg").startswith("unreadable: ")
    assert errors.pop("400-megapixels.png").startswith("unreadable: Image size (400000000 pixels)")
    assert errors == {
        "empty.jpg": "unreadable: an empty file",
        "svg.jpg": "unreadable: not a picture file",
        "html.jpg": "unreadable: not a picture file",
        "144-megapixels.png": "unreadable: 12000x12000 is over 89,478,485 pixels",
    }
    suffixes = {name: Path(rows[name]["file"]).suffix for name in odd}
    assert (suffixes["webp.jpg"], suffixes["animated.gif"]) == (".webp", ".gif")
    assert all(ganctl.pictures("out")[row["key"]] == odd[n] for n, row in rows.items() if n in odd)
    assert not list(ganctl.folder.rglob("*.part"))

    done = ganctl("prepare", "out", "--out", "set.zip", "--resolution", 32)
    assert "left out 1: blank (" in done.stderr
    made = prepared(ganctl.folder / "set.zip")
    assert set(made) == set(odd) - {"one-pixel.png"}
    seeds = {name: 900 + 7 * n for n, name in enumerate(names)}
    for name, like in (
        ("cmyk.jpg", 12),
        ("icc.jpg", 6),
        ("progressive.jpg", 6),
        ("webp.jpg", 6),
    ):
        plain = np.asarray(picture(seeds[name], 96).resize((32, 32), Image.Resampling.LANCZOS))
        assert np.abs(made[name].astype(int) - plain).mean() < like, name
    first = picture(seeds["animated.gif"], 96).quantize(16).convert("RGB")
    plain = np.asarray(first.resize((32, 32), Image.Resampling.LANCZOS))
    assert np.abs(made["animated.gif"].astype(int) - plain).mean() < 2
    assert np.ptp(made["grey.jpg"], axis=2).max() <= 1
    assert abs(made["16-bit.png"].mean() - 127) < 2  # not clipped at 255
    turned = picture(seeds["rotated.jpg"], 96).transpose(Image.Transpose.ROTATE_270)
    plain = np.asarray(turned.resize((32, 32), Image.Resampling.LANCZOS))
    assert np.abs(made["rotated.jpg"].astype(int) - plain).mean() < 6
    assert (made["palette-transparent.png"] > 250).all(axis=2).any()
    assert made["rgba.png"][:, 0].mean() > 240  # see-through: white, not what lies below


def prepared(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The images of a set by the last part of the address from which each came."""
    with zipfile.ZipFile(file) as archive:
        report = csv.DictReader(io.StringIO(archive.read("report.csv").decode()))
        return {
            row["file"].rpartition("/")[2]: np.asarray(
                Image.open(io.BytesIO(archive.read(row["images"])))
            )
            for row in report
            if row["images"]
        }


def test_a_publisher_who_says_no(files: Files, ganctl: Ganctl) -> None:
    large = b"\xff\xd8" + bytes(4_000_000)
    no = {"X-Robots-Tag": "noindex, ganctl: noimageai"}
    fine = {"X-Robots-Tag": "noindex, otherbot: noai"}
    urls = [
        files.add("/no.jpg", jpeg(picture(1, 64)), noai=True),
        files.add("/late.jpg", large, headers=no),
        files.add("/fine.jpg", jpeg(picture(2, 64)), headers=fine),
        files.redirect("/moved.jpg", "/fine.jpg"),
        files.redirect("/to-no.jpg", f"{files.elsewhere.url}/no.jpg"),
    ]
    files.script.on("/late.jpg", Drip(1000, 0.01))
    write(ganctl, urls)
    done = ganctl(*fetching())
    assert "1 pictures of 5 listed" in done.stderr
    first = f"such as {urls[0]}: X-Robots-Tag: noai"
    assert f"left out 3: withheld ({first})" in done.stderr
    rows = by_name(ganctl)
    errors = {name: (row["state"], row["error"]) for name, row in rows.items()}
    assert errors["no.jpg"] == errors["to-no.jpg"] == ("skipped", "withheld: X-Robots-Tag: noai")
    assert errors["late.jpg"] == ("skipped", "withheld: X-Robots-Tag: noimageai")
    assert errors["fine.jpg"][0] == "stored"
    (late,) = files.journal.requests("/late.jpg")
    assert late.sent < 400_000  # hung up on before the picture had come
    assert len(list((ganctl.folder / "out/pictures").glob("*.*"))) == 2  # dataset.json is one
    before = len(files.journal)
    ganctl(*fetching())
    assert len(files.journal) == before


# The list


def test_a_csv_with_labels_and_a_list_that_is_edited(files: Files, ganctl: Ganctl) -> None:
    urls = offer(files, 5)
    files.script.on("/4.jpg", Status(404), times=1)
    rows = [f"{url}?sig=geheim{n},{'jazz' if n % 2 else 'rock'},k{n}" for n, url in enumerate(urls)]
    write(ganctl, ["url,label,key", *rows, rows[0]], "list.csv")
    plan = json.loads(ganctl(*fetching(path="list.csv"), "--dry-run", "--json").stdout)
    assert (plan["items"], plan["requests"]) == (5, 5)
    assert not asked(files)
    done = ganctl(*fetching(path="list.csv"))
    assert "left out 1: refused (404) (k4: " in done.stderr
    assert "geheim" not in done.stdout + done.stderr
    assert {k: r["label"] for k, r in ganctl.rows("out").items()} == {
        "k0": "rock",
        "k1": "jazz",
        "k2": "rock",
        "k3": "jazz",
        "k4": "rock",
    }
    (new,) = offer(files, 1, start=5)
    edited = [f"{new},rock,k5", *rows[1:3], f"{urls[3]},soul,k3", rows[4]]
    write(ganctl, ["url,label,key", *edited], "list.csv")
    before = len(asked(files))
    done = ganctl(*fetching(path="list.csv"))
    assert "5 pictures of 5 listed" in done.stderr
    assert sorted(asked(files)[before:]) == ["/4.jpg", "/5.jpg"]
    assert {k: r["label"] for k, r in ganctl.rows("out").items()} == {
        "k1": "jazz",
        "k2": "rock",
        "k3": "soul",
        "k4": "rock",
        "k5": "rock",
    }
    assert len(list((ganctl.folder / "out/removed").iterdir())) == 1
    ganctl("prepare", "out", "--out", "set.zip", "--resolution", 32)
    with zipfile.ZipFile(ganctl.folder / "set.zip") as archive:
        names = json.loads(archive.read("dataset.json"))["label_names"]
    assert names == ["jazz", "rock", "soul"]


def test_a_list_that_cannot_be_used(files: Files, ganctl: Ganctl) -> None:
    write(ganctl, [*offer(files, 1), "covers/1.jpg"])
    done = ganctl(*fetching(), status=2)
    assert "source urls: list.txt, line 2: not an address that begins with http" in done.stderr
    write(ganctl, ["# nothing"], "empty.txt")
    done = ganctl(*fetching(path="empty.txt"), status=2)
    assert "source urls: no address in empty.txt\n" in done.stderr
    done = ganctl("fetch", "--source", "urls", status=2)
    assert "say where the list is: --source.path FILE" in done.stderr
    assert not asked(files)
    assert not (ganctl.folder / "out").exists()


def test_the_pace_of_a_host(files: Files, ganctl: Ganctl) -> None:
    write(ganctl, offer(files, 8))
    ganctl(*fetching("--source.every", 0.2))
    gaps = files.journal.gaps()
    assert len(gaps) == 7
    assert sum(gaps) > 1.1  # of 1.4: on a busy machine the first may be late
    plan = ganctl(*fetching("--source.every", 450), "--dry-run").stdout
    assert "1 hosts; 8 pictures are at 127.0.0.1: with 450 s between two 1:00:00 (h:m" in plan


# The network


def test_faults_that_pass(files: Files, ganctl: Ganctl) -> None:
    write(ganctl, offer(files, 8))
    faults = (Status(503), Drop(), Drop(after=300), Length(50), Status(429, retry_after=0))
    for n, fault in enumerate(faults):
        files.script.on(f"/{n}.jpg", fault, times=1)
    files.script.on("/5.jpg", Chunked())
    done = ganctl(*fetching())
    assert "8 pictures of 8 listed" in done.stderr
    counts = [len(files.journal.requests(f"/{n}.jpg")) for n in range(8)]
    assert counts == [2, 2, 2, 2, 2, 1, 1, 1]


def test_faults_that_last(files: Files, tmp_path: Path) -> None:
    urls = offer(files, 9)
    (tmp_path / "list.txt").write_text("\n".join(urls))
    faults = (
        *(Redirect("http://192.168.0.1/a.jpg"), Loop(), Drip(1, 0.05), Length(-50), Length(50)),
        *(Drop(after=200), BitFlip(0.001, 7), Truncate(0.5)),
    )
    rules = [files.script.on(f"/{n}.jpg", fault) for n, fault in enumerate(faults)]
    options = URLsOptions(str(tmp_path / "list.txt"), every=0)
    report = fetch(URLs(), options, tmp_path / "out", name="urls", patience=QUICK)
    assert report.stored == 1
    assert all(rule.hits for rule in rules)
    errors = [row["error"] or "" for row in Ganctl(tmp_path).rows("out").values()]
    for error, why in zip(
        errors,
        (
            "192.168.0.1/a.jpg: an address in a private network",
            "more than 5 redirects",
            "too slow (2 attempts)",
            "unreadable: ",  # what Content-Length says has come, and it is cut short
            "(2 attempts)",
            "(2 attempts)",
            "unreadable: ",
            "unreadable: image file is truncated",
            "",
        ),
        strict=True,
    ):
        assert why in error
    files.script.clear()
    again = fetch(URLs(), options, tmp_path / "out", name="urls", patience=QUICK)
    assert (again.stored, again.skipped) == (6, 3)
    assert len(files.journal.requests("/8.jpg")) == 1


def test_a_wrong_authority_and_nothing_at_all(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory, ganctl: Ganctl
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"), "Another")
    with Files(tls=authority) as files:
        write(ganctl, offer(files, 2))
        for env in ({}, other.environment()):
            done = ganctl(*fetching(), status=1, env=env)
            assert "no picture among the 2 listed: https://127.0.0.1" in done.stderr
            assert "its certificate is not trusted" in done.stderr
        assert not asked(files)
        done = ganctl(*fetching(), env=authority.environment())
        assert "2 pictures of 2 listed" in done.stderr


# This machine


def test_two_runs_at_once_and_a_file_in_the_folders_place(files: Files, ganctl: Ganctl) -> None:
    write(ganctl, offer(files, 3))
    files.script.on("/1.jpg", Delay(2.5))
    first = ganctl.start(*fetching())
    assert files.journal.wait_for(3)
    second = ganctl(*fetching(), status=2)
    assert "out: another process is fetching into this folder\n" in second.stderr
    _, errors = first.communicate(timeout=60)
    assert "3 pictures of 3 listed" in errors
    assert len(asked(files)) == 3
    (ganctl.folder / "file").write_bytes(b"")
    done = ganctl(*fetching(out="file/covers"), status=2)
    assert "file/covers: cannot be written: " in done.stderr
    assert len(asked(files)) == 3


@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c(files: Files, ganctl: Ganctl, twice: bool) -> None:
    write(ganctl, offer(files, 30))
    files.script.on("*", Delay(30 if twice else 0.7), requests=range(21, 99))
    process = ganctl.start(*fetching())
    assert files.journal.wait_for(25)
    time.sleep(0.4)  # what came first is recorded
    process.send_signal(signal.SIGINT)
    if twice:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (130 if twice else 3), errors
    assert "saving what is on its way; again to stop at once" in errors
    assert "Traceback" not in errors
    if not twice:
        assert "stopped; what is fetched is kept, and the same command goes on" in errors
    files.script.clear()
    done = ganctl(*fetching())
    assert "30 pictures of 30 listed" in done.stderr
    assert not files.journal.repeated()


def test_a_disk_that_is_full(files: Files, ganctl: Ganctl) -> None:
    large = io.BytesIO()
    picture(3).save(large, "PNG")
    write(ganctl, [*offer(files, 3), files.add("/large.png", large.getvalue())])
    assert len(large.getvalue()) > 300_000
    files.script.on("/large.png", Delay(0.5))

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = ganctl(*fetching(), status=1, preexec_fn=small_files)
    assert "ganctl: error: cannot write out/pictures/" in done.stderr
    assert done.stderr.rstrip().endswith(": File too large")
    assert not list(ganctl.folder.rglob("*.part"))
    done = ganctl(*fetching())
    assert "4 pictures of 4 listed" in done.stderr
    assert not files.journal.repeated("/*.jpg")


@pytest.mark.slow
def test_fewer_images_than_a_batch(files: Files, ganctl: Ganctl) -> None:
    write(ganctl, offer(files, 3))
    words = ("--source", "urls", "--source.path", "list.txt", "--source.every", 0)
    done = ganctl("train", *words, "--resolution", 16, "--batch", 64, "--device", "cpu", status=2)
    assert ": 3 images are fewer than one batch of 64: add pictures or use --batch" in done.stderr
    assert not (ganctl.folder / "runs").exists()
    files.journal.clear()
    write(ganctl, offer(files, 80))  # the edited list is fetched before it is trained on
    tiny = ("--kimg", 1, "--arch.z-dim", 16, "--arch.g-widths", 32, "--arch.d-widths", 32)
    done = ganctl("train", *words, "--resolution", 16, "--batch", 64, "--device", "cpu", *tiny)
    assert "80 pictures of 80 listed" in done.stderr
    assert len(asked(files)) == 77
    assert list((ganctl.folder / "runs").glob("*/samples/*.png"))
