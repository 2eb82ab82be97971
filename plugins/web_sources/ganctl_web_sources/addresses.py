"""A list of addresses: a text file with one a line, or a CSV with a column `url`."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ganctl import UserError

CSV_SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Address:
    """One picture of the list; `key` is what it is called, here and in messages."""

    key: str
    url: str
    label: str | None = None


def edition_of(path: Path) -> str:
    """Changes with what the file holds. Raises `UserError` when it cannot be read."""
    return hashlib.sha256(_content(path)).hexdigest()


def read_addresses(path: Path) -> list[Address]:
    """What the list names, each address once, in its order.

    Raises `UserError` with the number of the first line that cannot be used.
    """
    data = _content(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(
            path, line, f"not UTF-8 (byte 0x{data[error.start]:02x}): save the file as UTF-8"
        ) from None
    rows = _csv if path.suffix.lower() in CSV_SUFFIXES else _text
    found: dict[str, tuple[int, Address]] = {}
    addresses: set[str] = set()
    for line, written, given, label in rows(path, text):
        try:
            url = _usable(written)
        except ValueError as error:
            raise _wrong(path, line, str(error)) from None
        key = given or _key(url)
        if key in found and found[key][1].url != url:
            raise _wrong(
                path, line, f"the key {key!r} stands for another address in line {found[key][0]}"
            )
        if url not in addresses:
            addresses.add(url)
            found[key] = line, Address(key, url, label or None)
    return [address for _, address in found.values()]


Row = tuple[int, str, str, str]
"""Number of the line, address, key, label; empty where there is none."""


def _text(path: Path, text: str) -> Iterator[Row]:
    for line, written in enumerate(io.StringIO(text, newline=None), start=1):
        if (url := written.strip()) and not url.startswith("#"):
            yield line, url, "", ""


def _csv(path: Path, text: str) -> Iterator[Row]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        for row in table:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = [cell.lower() for cell in cells]
                if "url" not in header:
                    names = ", ".join(repr(c) for c in cells if c and "://" not in c)
                    raise _wrong(
                        path, table.line_num, f"names no column url, but {names or 'none'}"
                    )
                continue
            url, key, label = (_cell(header, cells, name) for name in ("url", "key", "label"))
            if not url:
                raise _wrong(path, table.line_num, "no address in the column url")
            yield table.line_num, url, key, label
    except csv.Error as error:
        raise _wrong(path, table.line_num, f"not readable as a CSV: {error}") from None


def _cell(header: list[str], cells: list[str], name: str) -> str:
    place = header.index(name) if name in header else len(cells)
    return cells[place] if place < len(cells) else ""


def _usable(written: str) -> str:
    """The address without a fragment, which servers do not see. Raises `ValueError`."""
    if " " in written or not written.isprintable():
        raise ValueError(f"a space in {_shown(written)}: write %20; labels need a CSV")
    try:
        parts = urlsplit(written)
        host, scheme = parts.hostname, parts.scheme
        parts.port  # noqa: B018  (raises for what is none)
    except ValueError:
        raise ValueError(f"not an address: {_shown(written)}") from None
    if scheme not in ("http", "https"):
        raise ValueError(f"not an address that begins with http:// or https://: {_shown(written)}")
    if not host:
        raise ValueError(f"an address without a host: {_shown(written)}")
    if "@" in parts.netloc:
        raise ValueError(
            f"the address at {host} holds a user name or password, which the manifest would keep: "
            "download what is not public by other means, and use --source folder"
        )
    return urlunsplit((scheme, parts.netloc.lower(), parts.path or "/", parts.query, ""))


def _key(url: str) -> str:
    """The address, with a hash for its query: signatures that stand there are for nobody else."""
    parts = urlsplit(url)
    mark = hashlib.sha256(parts.query.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", mark if parts.query else ""))


def _shown(written: str) -> str:
    """For a message: no query, no password, and not too long."""
    text = written.partition("?")[0].rpartition("@")[2]
    return repr(text[:77] + "…" if len(text) > 80 else text)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"source urls: {path}: {error.strerror or error}") from None


def _wrong(path: Path, line: int, why: str) -> UserError:
    return UserError(f"source urls: {path}, line {line}: {why}")
