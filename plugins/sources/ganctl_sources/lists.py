"""Pictures named in a list: a CSV with a header, or a text file with one path a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ganctl import Item, Opt, Source, UserError

from . import files
from .places import reader

FILE_COLUMNS = (
    *("file", "path", "filename", "file_name", "filepath", "file_path"),
    *("image", "image_path", "img", "name"),
)
LABEL_COLUMNS = ("label", "class", "genre", "category")
KNOWN_COLUMNS = frozenset(FILE_COLUMNS + LABEL_COLUMNS)
"""A first row with one of them is a header, and no other is: a picture may have any name."""

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class ListOptions:
    """Where the list is."""

    path: Annotated[
        str, Opt("A .csv or .tsv with a header, or a text file: a path a line, or PATH<tab>LABEL.")
    ] = ""


class List(Source[ListOptions], api=1):
    """Pictures named in a CSV or a text file, with labels if it has them."""

    def reads(self, path: Path) -> bool:
        return reader(path) == "list"

    def check(self, options: ListOptions) -> None:
        path = files.existing("list", options.path)
        if path.is_dir():
            raise UserError(f"source list: {path} is a folder: use --source folder")
        if next(self.items(options), None) is None:
            raise UserError(f"source list: no picture is named in {path}")

    def fingerprint(self, options: ListOptions) -> str:
        return files.stamp([Path(options.path), *(Path(i.uri) for i in self.items(options))])

    def count(self, options: ListOptions) -> int:
        return sum(1 for _ in _rows(Path(options.path)))

    def items(self, options: ListOptions) -> Iterator[Item]:
        path = Path(options.path)
        for line, name, label in _rows(path):
            if URL.match(name):
                raise UserError(
                    f"source list: {path}, line {line}: {name}: only local files are read: "
                    "download it and name the file"
                )
            yield Item(key=name, uri=str(path.parent / name), label=label)

    def open(self, options: ListOptions, item: Item) -> bytes:
        return files.read_picture(Path(item.uri))


Row = tuple[int, str, str | None]
"""Number of the line, name of the file, label."""


def _rows(path: Path) -> Iterator[Row]:
    """Raises `UserError` for what is no such list."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from _csv(lines, path) if path.suffix.lower() != ".txt" else _text(lines)
    except UnicodeDecodeError as error:
        raise UserError(
            f"source list: {path}: not UTF-8 (byte {error.start} of a block is "
            f"0x{error.object[error.start]:02x}): save it as UTF-8"
        ) from None
    except (csv.Error, OSError) as error:
        raise UserError(f"source list: {path}: not readable as a list: {error}") from None


def _text(lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        name, _, label = line.strip("\r\n").partition("\t")
        if name.strip():
            yield number, name, label.strip() or None


def _csv(lines: Iterator[str], path: Path) -> Iterator[Row]:
    skipped, first = next(((i, line) for i, line in enumerate(lines) if line.strip()), (0, ""))
    table = csv.reader(_again(first, lines), delimiter=max(",;\t", key=first.count), strict=True)
    file, label = 0, None
    header: list[str] | None = None
    for cells in table:
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip().lower() for cell in cells]
            file, label = _columns(header)
            if not KNOWN_COLUMNS.isdisjoint(header):
                continue
        line = skipped + table.line_num
        name = cells[file] if file < len(cells) else ""
        if not name.strip():
            raise UserError(f"source list: {path}, line {line}: no file is named")
        text = cells[label].strip() if label is not None and label < len(cells) else ""
        yield line, name, text or None


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _columns(names: list[str]) -> tuple[int, int | None]:
    """Which column holds the files, and which the labels; without names the first two do."""
    file = next((names.index(name) for name in FILE_COLUMNS if name in names), 0)
    label = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
    if label is None and len(names) == 2:
        label = 1 - file
    return file, label
