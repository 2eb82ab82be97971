"""Zip archives of strangers: what is read, what is left out and why, and what memory it takes."""

import io
import random
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from servers import jpeg, picture
from servers.odd import bad_archives

from ganctl import GanctlError, Unreadable, UserError
from ganctl_web_sources import archive as module
from ganctl_web_sources.archive import Archive, check_total

GOOD = jpeg(picture(990, 64))
ZIPS = bad_archives(GOOD)


def opened(tmp_path: Path, content: bytes) -> Archive:
    (tmp_path / "a.zip").write_bytes(content)
    return Archive(tmp_path / "a.zip")


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("parent", "its name leads out of the archive"),
        ("deep parent", "its name leads out of the archive"),
        ("backslashes", "its name leads out of the archive"),
        ("absolute", "its name leads out of the archive"),
        ("drive", "its name leads out of the archive"),
        ("symlink", "a link"),
        ("bomb", "it unfolds to 1,0"),
        ("nested", "an archive within the archive, which is not opened"),
        ("not pictures", "not a picture by its name"),
    ],
)
def test_what_is_left_out(tmp_path: Path, kind: str, reason: str) -> None:
    archive = opened(tmp_path, ZIPS[kind])
    good, *others = archive.members
    assert archive.read(good) == GOOD
    assert others
    for name in others:
        with pytest.raises(Unreadable, match=f"^{reason}"):
            archive.read(name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("duplicates", ["good.jpg", "twice.jpg", "twice.jpg#2"]),
        ("colliding case", ["good.jpg", "Cover.jpg", "cover.JPG", "COVER.jpg"]),
        ("long name", ["good.jpg", "x" * 300 + ".jpg"]),
        ("not UTF-8", ["good.jpg", r"caf\xa0.jpg"]),
    ],
)
def test_odd_names_are_read_all_the_same(tmp_path: Path, kind: str, names: list[str]) -> None:
    archive = opened(tmp_path, ZIPS[kind])
    assert list(archive.members) == names
    assert all(archive.read(name) == GOOD for name in names)


def test_names_become_one_line_of_text_with_slashes(tmp_path: Path) -> None:
    names = {"kühl/1.jpg": "kühl", "a\\b\\2.jpg": "b", "\x1b[2J/3.jpg": r"\x1b[2J", "4.jpg": ""}
    archive = opened(tmp_path, zipped(dict.fromkeys(names, GOOD)))
    assert [member.folder for member in archive.members.values()] == list(names.values())
    marked = zipped({"kühl/1.jpg": GOOD})
    assert marked.count(b"\x08\x08") == 2  # the flag for UTF-8, before the method
    unmarked = opened(tmp_path, marked.replace(b"\x08\x08", b"\0\x08"))
    assert list(unmarked.members) == ["kühl/1.jpg"]


def test_members_of_one_name_are_told_apart_at_once(tmp_path: Path) -> None:
    names = ["a.jpg#2", *["a.jpg"] * 20_000]
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
        warnings.simplefilter("ignore")
        for name in names:
            file.writestr(zipfile.ZipInfo(name), b"")
    began = time.process_time()
    found = list(opened(tmp_path, buffer.getvalue()).members)
    assert time.process_time() - began < 5
    assert found[:4] == ["a.jpg#2", "a.jpg", "a.jpg#3", "a.jpg#4"]
    assert len(found) == 20_001


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("zip64", [False, True])
def test_what_python_writes_is_read(tmp_path: Path, method: int, zip64: bool) -> None:
    content = {f"covers/{i}.jpg": GOOD * i for i in range(4)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in content.items():
            with file.open(name, "w", force_zip64=zip64) as member:
                member.write(data)
    archive = opened(tmp_path, buffer.getvalue())
    assert {name: archive.read(name) for name in archive.members} == content
    prefixed = opened(tmp_path, b"#!/bin/sh\n" + buffer.getvalue())
    assert prefixed.read("covers/3.jpg") == GOOD * 3


def test_methods_and_ciphers_that_are_not_read(tmp_path: Path) -> None:
    archive = opened(tmp_path, zipped({"a.jpg": GOOD}, zipfile.ZIP_LZMA))
    with pytest.raises(Unreadable, match=r"a method that is not read \(14\)"):
        archive.read("a.jpg")
    data = bytearray(zipped({"a.jpg": GOOD}))
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(Unreadable, match="encrypted"):
        opened(tmp_path, bytes(data)).read("a.jpg")


def test_every_damage_is_found(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        whole = zipped({"a.jpg": GOOD}, method)
        for at in (0, 40, len(whole) // 2):
            data = bytearray(whole)
            data[at] ^= 1
            with pytest.raises(Unreadable, match="damaged"):
                opened(tmp_path, bytes(data)).read("a.jpg")


@pytest.mark.parametrize(
    "content", [b"", b"<html>Please sign in", ZIPS["cut short"], ZIPS["many"][:100]]
)
def test_what_is_no_archive_is_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(GanctlError, match="no zip archive that can be read"):
        opened(tmp_path, content)


def test_a_directory_that_was_tampered_with_is_no_traceback(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(6):
            with file.open(f"d/{number}.jpg", "w", force_zip64=number % 2 == 0) as member:
                member.write(b"x" * 40 * number)
    whole, random_state, read = buffer.getvalue(), random.Random(0), 0
    directory = whole.index(b"PK\1\2")
    for _ in range(800):
        data = bytearray(whole)
        for _ in range(random_state.randint(1, 4)):
            at = random_state.randrange(directory, len(data))
            data[at] = random_state.choice([0, 255, random_state.randrange(256)])
        with suppress(GanctlError):
            archive = opened(tmp_path, bytes(data))
            for name in archive.members:
                with suppress(Unreadable):
                    read += bool(archive.read(name))
    assert read > 800


def lying(declared: int) -> bytes:
    """A member that declares so many bytes and unfolds to 200 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    data = bytearray(zipped({"bomb.jpg": packed}, zipfile.ZIP_STORED))
    entry = data.index(b"PK\1\2")
    struct.pack_into("<H", data, entry + 10, zipfile.ZIP_DEFLATED)
    struct.pack_into("<I", data, entry + 24, declared)
    return bytes(data)


def test_a_bomb_that_lies_takes_no_memory(tmp_path: Path) -> None:
    archive = opened(tmp_path, lying(1_000_000))
    tracemalloc.start()
    with pytest.raises(Unreadable, match="damaged: not the bytes"):
        archive.read("bomb.jpg")
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_a_member_that_claims_the_rest_of_the_archive(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.jpg": GOOD}, zipfile.ZIP_STORED))
    struct.pack_into("<II", data, data.index(b"PK\1\2") + 20, 0xFFFFFFF0, 0xFFFFFFF0)
    with pytest.raises(Unreadable, match="over 256 MB"):
        opened(tmp_path, bytes(data)).read("a.jpg")


def test_members_directories_and_totals_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = opened(tmp_path, ZIPS["many"])
    total = 2001 * len(GOOD)
    check_total(list(archive.members.values()), total)
    with pytest.raises(UserError, match=r"--source\.max-unpacked-gb"):
        check_total(list(archive.members.values()), total - 1)
    monkeypatch.setattr(module, "MAX_MEMBERS", 2000)
    with pytest.raises(GanctlError, match="2,001 members, more than 2,000"):
        opened(tmp_path, ZIPS["many"])
    monkeypatch.setattr(module, "MAX_DIRECTORY", 10_000)
    with pytest.raises(GanctlError, match=r"its directory has 10\d,\d{3} bytes"):
        opened(tmp_path, ZIPS["many"])


@pytest.mark.slow
def test_80_000_members_are_listed_and_read_in_seconds(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(80_000):
            file.writestr(zipfile.ZipInfo(f"covers/{number}.jpg"), b"%d" % number)
    assert b"PK\6\6" in buffer.getvalue()  # zip64, as there are more than 65,535
    began = time.process_time()
    archive = opened(tmp_path, buffer.getvalue())
    assert time.process_time() - began < 5
    with ThreadPoolExecutor(8) as pool:
        contents = pool.map(archive.read, archive.members)
    assert sum(map(int, contents)) == sum(range(80_000))
    assert time.process_time() - began < 25
