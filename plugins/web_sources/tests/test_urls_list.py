"""Lists of addresses, and what `X-Robots-Tag` says, without a request."""

from pathlib import Path

import pytest

from ganctl import UserError
from ganctl_web_sources.addresses import Address, read_addresses
from ganctl_web_sources.robots import opposition


def read(folder: Path, content: str | bytes, name: str = "list.txt") -> list[Address]:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_addresses(file)


def test_a_text_file(tmp_path: Path) -> None:
    text = "\ufeff# covers\n\nhttps://a.example/1.jpg\r\n  http://B.example:8080 \n#https://no\n"
    assert read(tmp_path, text) == [
        Address("https://a.example/1.jpg", "https://a.example/1.jpg"),
        Address("http://b.example:8080/", "http://b.example:8080/"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv(tmp_path: Path, delimiter: str) -> None:
    rows = [
        ("Label", "title", " URL", "key"),
        ("jazz", "", "https://a.example/1.jpg", "one"),
        ("", "", "", ""),
        ('"hip ""hop"""', "", "https://a.example/2.jpg", ""),
    ]
    text = "\n".join(delimiter.join(row) for row in rows) + "\nrock" + 2 * delimiter
    assert read(tmp_path, text + "https://a.example/3.jpg", "list.CSV") == [
        Address("one", "https://a.example/1.jpg", "jazz"),
        Address("https://a.example/2.jpg", "https://a.example/2.jpg", 'hip "hop"'),
        Address("https://a.example/3.jpg", "https://a.example/3.jpg", "rock"),
    ]


def test_an_address_is_there_once(tmp_path: Path) -> None:
    text = "https://a.example/1\nHTTPS://A.example/1#top\nhttps://a.example/1?x\n"
    assert [a.url for a in read(tmp_path, text)] == ["https://a.example/1", "https://a.example/1?x"]


def test_a_signature_is_not_in_the_key(tmp_path: Path) -> None:
    one, other = read(tmp_path, "https://a.example/1?sig=abc\nhttps://a.example/1?sig=abd")
    assert one.key.startswith("https://a.example/1#")
    assert "abc" not in one.key
    assert one.key != other.key
    assert one.url.endswith("?sig=abc")


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("ftp://a.example/1", 1, "not an address that begins with http:// or https://: 'ftp:"),
        ("\n\ncovers/1.jpg", 3, "begins with http:// or https://: 'covers/1.jpg'"),
        ("url,label", 1, "begins with http:// or https://"),
        ("https:///1.jpg", 1, "an address without a host: 'https:///1.jpg'"),
        ("http://[::1", 1, "not an address: 'http://[::1'"),
        ("http://a.example:x/1", 1, "not an address"),
        (
            "# ä\nhttps://a.example/1.jpg jazz",
            2,
            "a space in 'https://a.example/1.jpg jazz'",
        ),
        ("https://a.example/\x00", 1, "a space in 'https://a.example/\\x00'"),
        ("https://me:geheim@a.example/1", 1, "the address at a.example holds a user name or pass"),
        ("https://a.example/1\nhttps://tok@a.example/1", 2, "holds a user name"),
        (b"https://a.example/1\nhttps://a.example/caf\xe9\n", 2, "not UTF-8 (byte 0xe9): save"),
        ("https://a.example/1".encode("utf-16"), 1, "not UTF-8 (byte 0xff): save the file as"),
    ],
)
def test_a_line_that_cannot_be_used(
    tmp_path: Path, content: str | bytes, line: int, why: str
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, content)
    assert f"list.txt, line {line}: " in str(error.value)
    assert why in str(error.value)
    assert "geheim" not in str(error.value)
    assert "tok" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("link,label\nhttps://a.example/1,x", 1, "names no column url, but 'link', 'label'"),
        ("https://a.example/1?sig=geheim,jazz", 1, "names no column url, but 'jazz'"),
        ("https://a.example/1", 1, "names no column url, but none"),
        ("url,label\n,jazz", 2, "no address in the column url"),
        ("label,url\njazz", 2, "no address in the column url"),
        (
            "url\nhttps://a.example/1\nfile:///etc/passwd",
            3,
            "not an address that begins with http",
        ),
        ('url\n"https://a.example/1\n', 2, "not readable as a CSV: unexpected end of data"),
        (
            "url,key\nhttps://a.example/1,a\nhttps://a.example/2,a",
            3,
            "the key 'a' stands for another address in line 2",
        ),
    ],
)
def test_a_row_that_cannot_be_used(tmp_path: Path, content: str, line: int, why: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, content, "list.csv")
    assert f"list.csv, line {line}: {why}" in str(error.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "x", "No such file")):
        with pytest.raises(UserError, match=f"^source urls: {path}: {why}"):
            read_addresses(path)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (["noai"], "noai"),
        (["NoImageAI"], "noimageai"),
        (["noindex, noai"], "noai"),
        (["noindex", " nofollow ,noimageai"], "noimageai"),
        (["ganctl: noai"], "noai"),
        (["GANctl : all, noimageai"], "noimageai"),
        (["otherbot: noindex, ganctl: noai"], "noai"),
        (["*: noai"], "noai"),
        (["max-image-preview: large, noai"], "noai"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], "noai"),
        (["otherbot: noindex", "noai"], "noai"),
        (["otherbot: noai"], None),
        (["otherbot: noindex, noai"], None),
        (["ganctl: noindex, otherbot: noai"], None),
        (["noindex, nofollow, noarchive, none"], None),
        (["noaiding, no ai, ai"], None),
        ([""], None),
        ([], None),
    ],
)
def test_who_says_no(values: list[str], rule: str | None) -> None:
    headers = [("content-type", "noai"), *(("X-Robots-Tag", value) for value in values)]
    assert opposition(headers) == rule
