"""Pictures in tar files: labels, shards, and what is damaged."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from ganctl import Unreadable, UserError
from ganctl_sources import files
from ganctl_sources.tar import Tar, TarOptions


def shard(path: Path, content: dict[str, bytes], mode: str = "w", pax: bool = True) -> TarOptions:
    path.parent.mkdir(exist_ok=True)
    form = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(path, mode, format=form) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return TarOptions(path=str(path))


def labels(options: TarOptions) -> dict[str, str | None]:
    return {item.key: item.label for item in Tar().items(options)}


@pytest.mark.parametrize("pax", [True, False])
def test_labels_stand_beside_the_pictures(tmp_path: Path, pax: bool) -> None:
    content = {
        "1.png": b"x",
        "1.cls": b"7\n",
        "1.json": b'{"label": 3}',
        "1.txt": b"a cat",
        "2.json": b'{"class": "dog", "size": 3}',
        "2.seg.png": b"x",
        "2.jpg": b"x",
        "b/3.jpg": b"x",
        "b/3.txt": b"two\n words",
        "4.webp": b"x",
        "4.json": b"{}",
        "5.jpg": b"x",
        "5.cls": b"",
        "3.cls": b"other",
        "note.md": b"x",
        ".hid.png": b"x",
        "x" * 250 + ".png": b"x",
    }
    options = shard(tmp_path / "s.tar", content, pax=pax)
    Tar().check(options)
    assert labels(options) == {
        "s.tar/1.png": "7",
        "s.tar/2.seg.png": "dog",
        "s.tar/2.jpg": "dog",
        "s.tar/b/3.jpg": "two words",
        "s.tar/4.webp": None,
        "s.tar/5.jpg": None,
        "s.tar/note.md": None,
        f"s.tar/{'x' * 250}.png": None,
    }


def test_shards_come_in_order_from_a_folder_and_a_pattern(tmp_path: Path) -> None:
    for number in (8, 9, 10, 11):
        shard(tmp_path / f"s/{number:03d}.tar", {"a.png": str(number).encode()})
    (tmp_path / "s/.hidden").touch()
    whole = TarOptions(path=str(tmp_path / "s"))
    assert list(labels(whole)) == [f"{n:03d}.tar/a.png" for n in (8, 9, 10, 11)]
    some = TarOptions(path=str(tmp_path / "{s..s}{008..010}.tar").replace("{s..s}", "s/"))
    assert list(labels(some)) == ["008.tar/a.png", "009.tar/a.png", "010.tar/a.png"]
    assert [Tar().open(some, item) for item in Tar().items(some)] == [b"8", b"9", b"10"]
    with pytest.raises(UserError, match=r"012\.tar: no such file \(2 of 3\)"):
        Tar().check(TarOptions(path=str(tmp_path / "s/{011..013}.tar")))
    for wrong in ("{2..1}", "{0..999999}", "{0..99999}{0..99999}"):
        with pytest.raises(UserError, match="wanted 1 to 100,000"):
            Tar().check(TarOptions(path=str(tmp_path / f"s/{wrong}.tar")))


def test_links_and_devices_are_no_pictures(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo(f"{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    with pytest.raises(UserError, match="no pictures in"):
        Tar().check(TarOptions(path=str(tmp_path / "s.tar")))


def test_names_that_leave_the_folder_write_nothing(tmp_path: Path) -> None:
    options = shard(tmp_path / "a/s.tar", {"../../out.png": b"x", "/abs.png": b"y"})
    assert [Tar().open(options, item) for item in Tar().items(options)] == [b"x", b"y"]
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "s.tar"]


CONTENT = {f"{i}.png": bytes([i]) * 700 for i in range(5)}
MEMBER = 512 + 1024


@pytest.mark.parametrize(
    ("size", "place"),
    [
        *((3 * MEMBER + 600, 3 * MEMBER + 600), (3 * MEMBER + 300, 3 * MEMBER)),
        *((3 * MEMBER, 3 * MEMBER), (5 * MEMBER, 5 * MEMBER), (100, 0)),
    ],
)
def test_a_cut_tar_is_named_with_the_place(tmp_path: Path, size: int, place: int) -> None:
    options = shard(tmp_path / "s.tar", CONTENT)
    os.truncate(options.path, size)
    with pytest.raises(UserError, match=rf"s\.tar: damaged or cut at byte {place}"):
        list(Tar().items(options))


@pytest.mark.parametrize("damage", [b"hello", b"\xff" * 512, bytes(156) + b"\xff" * 356])
def test_a_damaged_header_is_no_end(tmp_path: Path, damage: bytes) -> None:
    options = shard(tmp_path / "s.tar", CONTENT)
    with Path(options.path).open("r+b") as file:
        file.seek(2 * MEMBER)
        file.write(damage)
    with pytest.raises(UserError, match=rf"s\.tar: damaged.* at byte {2 * MEMBER}"):
        list(Tar().items(options))


def test_a_negative_size_does_not_loop(tmp_path: Path) -> None:
    options = shard(tmp_path / "s.tar", CONTENT)
    member = tarfile.TarInfo("evil.png")
    member.size = -MEMBER
    head = member.tobuf(tarfile.GNU_FORMAT)
    with Path(options.path).open("r+b") as file:
        file.seek(2 * MEMBER)
        file.write(head)
    with pytest.raises(UserError, match=r"s\.tar: damaged"):
        list(Tar().items(options))


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("name", ["s.tar.gz", "s.tar"])
def test_a_compressed_tar_is_to_be_unpacked(tmp_path: Path, mode: str, name: str) -> None:
    options = shard(tmp_path / name, CONTENT, f"w:{mode}")
    assert Tar().reads(tmp_path / name)
    with pytest.raises(UserError, match=r"is compressed.* unpack it to a plain \.tar"):
        Tar().check(options)


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 2000])
def test_what_is_no_tar_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.tar").write_bytes(content)
    with pytest.raises(UserError, match=r"s\.tar: damaged or cut at byte 0"):
        Tar().check(TarOptions(path=str(tmp_path / "s.tar")))


@pytest.mark.parametrize(
    "label",
    [{"1.json": b"{"}, {"1.json": b"[1]"}, {"1.json": b'{"label": [1]}'}, {"1.cls": b"\xff"}],
)
def test_a_label_that_is_none_is_named(tmp_path: Path, label: dict[str, bytes]) -> None:
    options = shard(tmp_path / "s.tar", {"1.png": b"x"} | label)
    with pytest.raises(UserError, match=rf"s\.tar: {next(iter(label))}: no label"):
        list(Tar().items(options))


def test_a_large_member_and_a_changed_file_are_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE", 2**20)
    options = shard(tmp_path / "s.tar", {"big.png": bytes(2**20 + 1), "a.png": b"x"})
    big, small = Tar().items(options)
    with pytest.raises(Unreadable, match="over 1 MB"):
        Tar().open(options, big)
    assert Tar().open(options, small) == b"x"
    os.truncate(options.path, 1000)
    with pytest.raises(Unreadable, match="ends before it"):
        Tar().open(options, small)


def test_the_fingerprint_follows_every_shard(tmp_path: Path) -> None:
    for name in ("1", "2"):
        shard(tmp_path / f"s/{name}.tar", CONTENT)
    options = TarOptions(path=str(tmp_path / "s"))
    seen = [Tar().fingerprint(options) for _ in range(2)]
    os.utime(tmp_path / "s/2.tar", (1, 1))
    seen.append(Tar().fingerprint(options))
    assert seen[0] == seen[1] != seen[2]
