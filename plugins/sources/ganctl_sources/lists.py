"""Pictures named in a list: a CSV with a header, or a text file with one path a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ganctl import Item, Opt, Source, UserError, is_image_name

from . import files
from .places import reader

FILE_COLUMNS = ("file", "path", "filename", "image", "name")
LABEL_COLUMNS = ("label", "class", "genre", "category")
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
    first = next(lines, "")
    table = csv.reader(_again(first, lines), delimiter=max(",;\t", key=first.count), strict=True)
    file = label = None
    for cells in table:
        if file is None:
            file, label = _columns(cells)
            if not is_image_name(Path(cells[file]).name if cells else ""):
                continue  # a header, unless the first line names a picture
        if not any(cell.strip() for cell in cells):
            continue
        name = cells[file] if file < len(cells) else ""
        if not name.strip():
            raise UserError(f"source list: {path}, line {table.line_num}: no file is named")
        text = cells[label].strip() if label is not None and label < len(cells) else ""
        yield table.line_num, name, text or None


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _columns(header: list[str]) -> tuple[int, int | None]:
    """Which column holds the files, and which the labels."""
    names = [name.strip().lower() for name in header]
    file = next((names.index(name) for name in FILE_COLUMNS if name in names), 0)
    label = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
    if label is None and len(names) == 2:
        label = 1 - file
    return file, label
