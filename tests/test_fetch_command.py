"""`ganctl fetch`, and `ganctl train` on a source from the web: a stranger's plugin, on loopback."""

import io
import json
import signal
import sqlite3
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from web_server import Answer, Server, serving

CLI = Any  # the fixture `ganctl`: tests/conftest.py

PLUGIN = '''
"""A shop with pictures, as somebody else would publish it."""

from dataclasses import dataclass
from typing import Annotated

from ganctl import Item, Opt, Page, Plan, Request, Terms, UserError, WebSource


@dataclass(frozen=True)
class ShopOptions:
    url: Annotated[str, Opt("The shop.")] = ""
    strict: Annotated[bool, Opt("Terms that forbid training.")] = False


class Shop(WebSource[ShopOptions], api=1):
    """Pictures of a shop."""

    def check(self, options):
        if not options.url:
            raise UserError("source shop: name the shop: --source.url")

    def terms(self, options):
        if options.strict:
            clauses = (("no machine shall look", "https://shop.example/terms#1"),)
            return Terms("https://shop.example/terms", "2026-01-01", "no", clauses, "Draw.")

    def base(self, options):
        return options.url

    def plan(self, options, web):
        count = web.json(Request(options.url + "/count"))
        return Plan(items=count, bytes=count * 5000, requests=count + 1, notes=("Bring money.",))

    def pages(self, options, web, cursor):
        for item in web.json(Request(options.url + "/list")):
            yield Page((Item(item["id"], options.url + item["path"], item["label"]),), None)
'''


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((40, 40), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def shop(ganctl: CLI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Eighty pictures, of which one is broken."""
    site = tmp_path_factory.mktemp("site")
    info = site / "shop-1.0.dist-info"
    info.mkdir()
    (site / "shop.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ganctl.sources]\nshop = shop:Shop\n")
    ganctl.env["PYTHONPATH"] = f"{site}:{ganctl.env.get('PYTHONPATH', '')}"
    with serving() as server:
        listing = []
        for number in range(80):
            content = picture(number)
            path = f"/p/{number}.png"
            server.on(path, Answer(content if number else content[:100]))
            label = "red" if number % 2 else "blue"
            listing.append({"id": f"p{number}", "path": path, "label": label})
        server.on("/list", Answer(json.dumps(listing).encode()))
        server.on("/count", Answer(b"80"))
        yield server


def pictures_asked(server: Server) -> list[str]:
    return [path for path in server.paths() if path.startswith("/p/")]


def test_fetch_tells_what_came_and_asks_nothing_twice(ganctl: CLI, shop: Server) -> None:
    options = ("--source", "shop", "--source.url", shop.url, "--out", "covers")
    first = ganctl("fetch", *options)
    assert first.returncode == 0, first.stderr
    assert first.stdout == "covers\n"
    assert "79 pictures of 80 listed" in first.stderr
    assert "left out 1: unreadable (p0: " in first.stderr
    assert len(list((ganctl.folder / "covers/pictures").glob("*.png"))) == 79
    asked = len(shop.paths())
    again = ganctl("fetch", *options, "--json")
    assert again.returncode == 0, again.stderr
    assert len(shop.paths()) == asked
    account = json.loads(again.stdout)
    assert (account["stored"], account["skipped"], account["folder"]) == (79, 1, "covers")

    elsewhere = ganctl("fetch", "--source", "shop", "--source.url", "http://x", "--out", "covers")
    assert elsewhere.returncode == 2
    assert "covers: holds another fetch" in elsewhere.stderr

    for line in ("train --data covers", "inspect covers"):
        raw = ganctl(*line.split())
        assert raw.returncode == 2
        assert "is not prepared yet: ganctl prepare covers --out SET.zip" in raw.stderr
    folder = ganctl(
        "prepare", "covers", "--source", "folder", "--resolution", "32", "--out", "x.zip"
    )
    assert "use --source fetched" in folder.stderr
    prepared = ganctl("prepare", "covers", "--resolution", "32", "--out", "set.zip")
    assert prepared.returncode == 0, prepared.stderr
    assert "2 classes of 39 to 40 images" in prepared.stderr


def test_a_folder_in_which_nothing_came_is_free(ganctl: CLI, shop: Server) -> None:
    listing = shop.answers("/list")
    shop.on("/list", Answer(b"[]"))
    options = ("--source", "shop", "--out", "covers", "--source.url")
    empty = ganctl("fetch", *options, shop.url)
    assert empty.returncode == 1
    assert "lists no picture" in empty.stderr
    shop.on("/list", *listing)
    assert ganctl("fetch", *options, f"{shop.url}/").returncode == 0


def test_what_is_no_source_on_the_web_is_told(ganctl: CLI, shop: Server) -> None:
    """A plugin's mistakes: named, and without a wait for what never comes."""
    site = Path(ganctl.env["PYTHONPATH"].partition(":")[0])
    options = ("fetch", "--source", "shop", "--source.url", shop.url)
    page = next(line.strip() for line in PLUGIN.splitlines() if "yield Page" in line)
    for right, wrong, said, more in (
        (page, "yield []", "pages gave a list, not a Page", ()),
        ("return Plan(", "return dict(", "plan gave a dict, not a Plan", ("--dry-run",)),
        ('"no", clauses', '"No", clauses', "yes, no or unclear, not 'No'", ("--source.strict",)),
    ):
        assert right in PLUGIN
        (site / "shop.py").write_text(PLUGIN.replace(right, wrong))
        told = ganctl(*options, *more)
        assert told.returncode == 1, told.stderr
        assert "source 'shop' (shop 1.0) failed: " in told.stderr
        assert said in told.stderr


def test_missing_labels_are_told(ganctl: CLI, shop: Server) -> None:
    listing = json.loads(shop.answers("/list")[0].body)  # type: ignore[union-attr]
    for item in listing[:5]:
        item["label"] = None
    shop.on("/list", Answer(json.dumps(listing).encode()))
    told = ganctl("fetch", "--source", "shop", "--source.url", shop.url, "--out", "covers")
    assert "4 have no label, so a set of them all will have none" in told.stderr


def test_failures_are_asked_for_again(ganctl: CLI, shop: Server) -> None:
    shop.on("/p/7.png", Answer(status=403), Answer(picture(7)))
    options = ("--source", "shop", "--source.url", shop.url, "--out", "covers")
    first = ganctl("fetch", *options)
    assert first.returncode == 1
    assert "left out 1: refused (403) (p7: " in first.stderr
    assert "1 may come another time: run the same command again" in first.stderr
    before = len(pictures_asked(shop))
    second = ganctl("fetch", *options)
    assert second.returncode == 0, second.stderr
    assert pictures_asked(shop)[before:] == ["/p/7.png"]


def test_dry_run_asks_for_no_picture(ganctl: CLI, shop: Server) -> None:
    options = ("--source", "shop", "--source.url", shop.url)
    told = ganctl("fetch", *options, "--dry-run")
    assert told.returncode == 0, told.stderr
    assert "shop: about 80 pictures, about 0 MB, about 81 requests\n  Bring money." in told.stdout
    document = json.loads(ganctl("fetch", *options, "--dry-run", "--json").stdout)
    assert document["items"] == 80
    trained = ganctl("train", *options, "--resolution", "28", "--dry-run")
    assert trained.returncode == 0, trained.stderr
    assert "about 80 pictures" in trained.stdout
    assert "Nothing was trained" in trained.stdout
    assert set(shop.paths()) == {"/count"}
    assert ganctl.files() == []


def test_terms_come_before_every_request(ganctl: CLI, shop: Server) -> None:
    options = ("--source", "shop", "--source.url", shop.url, "--source.strict")
    for command in ("fetch --out x", "fetch --dry-run", "train", "train --dry-run"):
        refused = ganctl(*command.split(), *options)
        assert refused.returncode == 2
        assert "no machine shall look (https://shop.example/terms#1)" in refused.stderr
        assert '--accept-terms shop@2026-01-01 --permission "who granted it' in refused.stderr
        assert "Draw." in refused.stderr
    other = ganctl("fetch", *options, "--accept-terms", "shop@2020-01-01", "--permission", "me")
    assert other.returncode == 2
    assert "the terms at hand are shop@2026-01-01" in other.stderr
    assert shop.asked == []
    assert ganctl.files() == []
    consent = ("--accept-terms", "shop@2026-01-01", "--permission", "its owner, in May")
    assert ganctl("fetch", *options, *consent, "--out", "x").returncode == 0
    with sqlite3.connect(ganctl.folder / "x/manifest.sqlite") as manifest:
        kept = manifest.execute("SELECT DISTINCT terms FROM items").fetchall()
    assert len(kept) == 1
    assert "its owner, in May" in kept[0][0]


@pytest.mark.slow
def test_train_fetches_prepares_and_trains(
    ganctl: CLI, shop: Server, tiny: tuple[str, ...]
) -> None:
    options = ("--source", "shop", "--source.url", shop.url, "--resolution", "16", "--cond")
    trained = ganctl("train", *options, *tiny)
    assert trained.returncode == 0, trained.stderr
    assert "fetching shop into datasets/shop-" in trained.stderr
    assert "preparing shop as datasets/shop-16x16x3-" in trained.stderr
    picture = Path(ganctl.folder / trained.stdout.splitlines()[0].removeprefix("picture: "))
    with Image.open(picture) as grid:
        assert grid.size[0] > 16
    asked = len(shop.asked)
    again = ganctl("train", *options, *tiny)
    assert again.returncode == 0, again.stderr
    assert len(shop.asked) == asked
    assert "fetching" not in again.stderr
    assert "preparing" not in again.stderr
    (made,) = (ganctl.folder / "datasets").glob("*.zip")
    with zipfile.ZipFile(made) as archive:
        names = json.loads(archive.read("dataset.json"))["label_names"]
    assert names == ["blue", "red"]


@pytest.mark.slow
def test_what_cannot_be_trained_is_said_before_the_fetch(ganctl: CLI, shop: Server) -> None:
    options = ("--source", "shop", "--source.url", shop.url)
    wrong = ganctl("train", *options, "--arch", "dcgan", "--resolution", "50")
    assert wrong.returncode == 2
    unlabelled = ganctl("train", *options, "--cond", "--dry-run")
    assert unlabelled.returncode == 2
    assert "labels of shop are known when its pictures are here" in unlabelled.stderr
    nothing = ganctl("train", "--source", "shop")
    assert nothing.returncode == 2
    assert "source shop: name the shop" in nothing.stderr
    assert shop.asked == []


def test_fetch_and_prepare_say_which_is_for_which(ganctl: CLI, shop: Server) -> None:
    assert "say where from" in ganctl("fetch").stderr
    local = ganctl("fetch", "--source", "folder")
    assert local.returncode == 2
    assert "ganctl prepare --source folder" in local.stderr
    web = ganctl("prepare", "--source", "shop", "--out", "x.zip", "--source.url", shop.url)
    assert web.returncode == 2
    assert "fetched first: ganctl fetch --source shop" in web.stderr


@pytest.mark.slow
def test_ctrl_c_keeps_what_came(ganctl: CLI, shop: Server) -> None:
    for number in range(40, 80):
        shop.on(f"/p/{number}.png", Answer(picture(number), hang=0.5))
    options = ("--source", "shop", "--source.url", shop.url, "--out", "covers")
    process = ganctl.start("fetch", *options)
    until = time.monotonic() + 60
    while len(pictures_asked(shop)) < 45 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "what is fetched is kept, and the same command goes on" in errors
    part = ganctl("prepare", "covers", "--resolution", "32", "--out", "part.zip")
    assert "covers: this fetch is not finished, so pictures are missing" in part.stderr
    there = {p.name for p in (ganctl.folder / "covers/pictures").glob("*.png")}
    assert 39 <= len(there) < 79
    before = len(pictures_asked(shop))
    assert ganctl("fetch", *options).returncode == 0
    assert len(pictures_asked(shop)) - before == 79 - len(there)
