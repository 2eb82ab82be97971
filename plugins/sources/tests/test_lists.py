"""Pictures named in a CSV or a text file."""

import os
from pathlib import Path

import pytest

from ganctl import Unreadable, UserError
from ganctl_sources.lists import List, ListOptions


def named(at: Path, content: str | bytes, name: str = "set.csv") -> ListOptions:
    data = content.encode() if isinstance(content, str) else content
    (at / name).write_bytes(data)
    return ListOptions(path=str(at / name))


def pairs(options: ListOptions) -> list[tuple[str, str | None]]:
    return [(item.key, item.label) for item in List().items(options)]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("file,label\na.png,x\nb.png,y\n", [("a.png", "x"), ("b.png", "y")]),
        ("\ufefffile,label\r\na.png,x\r\n", [("a.png", "x")]),
        ("id,Genre,Filename\n7,jazz,a.png\n", [("a.png", "jazz")]),
        ("path\na.png\n\nb.png", [("a.png", None), ("b.png", None)]),
        ("where,label\na.png,x\n", [("a.png", "x")]),
        ("file_name,text\na.png,x\n", [("a.png", "x")]),
        ("a.avif,cat\nb.avif,dog\n", [("a.avif", "cat"), ("b.avif", "dog")]),
        ("a\nb\n", [("a", None), ("b", None)]),
        ("\n \r\nfile;label\na,b;x\n", [("a,b", "x")]),
        ("\n,\na.avif,cat\n", [("a.avif", "cat")]),
        ("what,image\nx,a.png\n", [("a.png", "x")]),
        ("file,what,more\na.png,x,y\n", [("a.png", None)]),
        ("file;class\na,b.png;x\n", [("a,b.png", "x")]),
        ('file,label\n"a,\nb.png","x ""y"""\n', [("a,\nb.png", 'x "y"')]),
        ("file,label\na.png\nb.png,\n", [("a.png", None), ("b.png", None)]),
        ("a.png,x\nb.png,y\n", [("a.png", "x"), ("b.png", "y")]),
        ("../a.png\n", [("../a.png", None)]),
    ],
)
def test_a_csv_is_read_by_its_header(
    tmp_path: Path, content: str, found: list[tuple[str, str | None]]
) -> None:
    assert pairs(named(tmp_path, content)) == found
    assert List().count(named(tmp_path, content)) == len(found)


def test_a_tsv_and_a_text_file(tmp_path: Path) -> None:
    assert pairs(named(tmp_path, "file\tlabel\na.png\tx\n", "s.tsv")) == [("a.png", "x")]
    text = "\ufeffa, b.png\r\n\r\nc.png\tjazz\n"
    assert pairs(named(tmp_path, text, "s.txt")) == [("a, b.png", None), ("c.png", "jazz")]


def test_paths_start_at_the_list(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    for name in ("lists/a.png", "outside.png"):
        (tmp_path / name).write_bytes(name.encode())
    whole = tmp_path / "outside.png"
    options = named(tmp_path / "lists", f"a.png\n../outside.png\n{whole}\ngone.png\n.\n", "s.txt")
    List().check(options)
    near, outside, absolute, gone, folder = List().items(options)
    assert List().open(options, near) == b"lists/a.png"
    assert List().open(options, outside) == List().open(options, absolute) == b"outside.png"
    with pytest.raises(Unreadable, match=r"^no such file$"):
        List().open(options, gone)
    with pytest.raises(Unreadable, match="a folder"):
        List().open(options, folder)


def test_the_fingerprint_follows_the_list_and_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    options = named(tmp_path, "a.png\ngone.png\n", "s.txt")
    seen = [List().fingerprint(options) for _ in range(2)]
    for name in ("a.png", "s.txt"):
        os.utime(tmp_path / name, (1, 1))
        seen.append(List().fingerprint(options))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no picture is named"),
        ("file,label\n", "no picture is named"),
        ("file\nhttps://x.org/a.png\n", r"line 2: https://x.org/a.png: only local files are read"),
        ("file,label\n,x\n", "line 2: no file is named"),
        ("\n\nfile,label\n\n,x\n", "line 5: no file is named"),
        ("file,label\nä,x\n".encode("latin1"), "not UTF-8"),
        ("file,label\n".encode("utf-16"), "not UTF-8"),
        ('file,label\n"a.png,x\n', "not readable as a list"),
        ("file\n" + "a" * 200_000 + "\n", "not readable as a list"),
    ],
)
def test_what_is_no_list_says_why(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        List().check(named(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use --source folder"):
        List().check(ListOptions(path=str(tmp_path)))
