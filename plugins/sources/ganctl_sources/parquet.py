"""Pictures in Parquet files, as Hugging Face datasets store them."""

from __future__ import annotations

import importlib
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from ganctl import Item, Opt, Source, Unreadable, UserError

from . import files
from .places import reader

T = TypeVar("T")

ADVICE = "pip install 'ganctl[parquet]'"
MAX_GROUP = 8 * 2**30
"""Bytes of the pictures in one row group: that is read at once."""


@dataclass(frozen=True)
class ParquetOptions:
    """Where the files are, and which columns to take."""

    path: Annotated[str, Opt("A .parquet file, or a folder with .parquet files.")] = ""
    image_column: Annotated[str, Opt("With the pictures; if empty, found by its type.")] = ""
    label_column: Annotated[str, Opt("With the labels; if empty, `label` if there is one.")] = ""


class Parquet(Source[ParquetOptions], api=1):
    """Pictures in Parquet files, the layout of Hugging Face datasets."""

    references = ("https://huggingface.co/docs/datasets/image_dataset#parquet-files",)

    def missing(self) -> str | None:
        return ADVICE if importlib.util.find_spec("pyarrow") is None else None

    def reads(self, path: Path) -> bool:
        return reader(path) == "parquet"

    def check(self, options: ParquetOptions) -> None:
        for file in _files(options.path):
            Columns.of(file, options)
        if not self.count(options):
            raise UserError(f"source parquet: no rows in {options.path}")

    def fingerprint(self, options: ParquetOptions) -> str:
        return files.stamp(_files(options.path))

    def count(self, options: ParquetOptions) -> int:
        return sum(_facts(file).metadata.num_rows for file in _files(options.path))

    def items(self, options: ParquetOptions) -> Iterator[Item]:
        for file in _files(options.path):
            columns = Columns.of(file, options)
            row = 0
            for group in range(_facts(file).metadata.num_row_groups):
                for index, label in enumerate(columns.labels(group)):
                    yield Item(
                        key=f"{file.name}/{row:06d}",
                        uri=f"{file}#{row}",
                        label=label,
                        meta={"file": str(file), "group": group, "row": index},
                    )
                    row += 1

    def open(self, options: ParquetOptions, item: Item) -> bytes:
        file, group, row = Path(item.meta["file"]), item.meta["group"], item.meta["row"]
        with _groups:  # threads wait, so that none reads a group twice
            pictures = _pictures(_facts(file), file, group, Columns.of(file, options).image)
        value = pictures[row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            outside = isinstance(value, dict) and value.get("path")
            raise Unreadable("only a path, not the picture" if outside else "no picture in the row")
        if len(data) > files.MAX_FILE:
            raise Unreadable(f"over {files.MAX_FILE >> 20} MB")
        return bytes(data)


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold pictures and labels, and the names of the labels' numbers."""

    file: Path
    image: str
    label: str | None
    names: tuple[str, ...]

    @classmethod
    def of(cls, file: Path, options: ParquetOptions) -> Columns:
        """Raises `UserError` when there are none."""
        facts = _facts(file)
        schema, features = facts.schema, facts.features
        for wanted in (options.image_column, options.label_column):
            if wanted and wanted not in schema.names:
                there = ", ".join(schema.names)
                raise UserError(f"source parquet: {file} has no column {wanted!r}; it has {there}")
        holding = [name for name in schema.names if _holds_pictures(schema.field(name).type)]
        image = options.image_column or next(
            (n for n in holding if features.get(n, {}).get("_type") == "Image"),
            next((n for n in holding if n in ("image", "img", "picture")), ""),
        )
        image = image or next(iter(holding), "")
        if image not in holding:
            raise UserError(
                f"source parquet: {file}: {f'column {image!r}' if image else 'no column'} holds "
                "pictures: wanted bytes, or a struct with the field bytes"
            )
        label = options.label_column or ("label" if "label" in schema.names else None)
        names = features.get(label, {}).get("names") if label else None
        if label and not _holds_labels(schema.field(label).type):
            raise UserError(
                f"source parquet: {file}: column {label!r} is {schema.field(label).type}: "
                "labels are whole numbers or texts"
            )
        return cls(file, image, label, tuple(map(str, names or ())))

    def labels(self, group: int) -> Iterator[str | None]:
        """One for each row of the row group."""
        if self.label is None:
            yield from [None] * _facts(self.file).metadata.row_group(group).num_rows
            return
        for value in _column(self.file, group, self.label).to_pylist():
            if isinstance(value, int) and self.names:
                known = 0 <= value < len(self.names)  # -1: a test set without labels
                yield self.names[value] if known else None
            else:
                yield None if value is None or value == "" else str(value)


def _files(path: str) -> list[Path]:
    given = files.existing("parquet", path)
    if not given.is_dir():
        return [given]
    found = sorted(p for p in given.glob("*.parquet") if not files.is_litter(p.name))
    if not found:
        raise UserError(f"source parquet: {given}: no .parquet file in it")
    return found


def _arrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"source parquet needs pyarrow: {ADVICE}") from None


@dataclass(frozen=True, eq=False)
class Facts:
    """What the end of a file says of it; the file itself is closed."""

    metadata: Any
    schema: Any
    features: dict[str, Any]


@files.kept(1024)
def _facts(file: Path) -> Facts:
    def read() -> Facts:
        with _arrow("pyarrow.parquet").ParquetFile(file) as opened:
            schema = opened.schema_arrow
            return Facts(opened.metadata, schema, _features(schema.metadata or {}))

    return _guarded(file, read)


def _column(file: Path, group: int, name: str) -> Any:
    """One column of one row group, as a `pyarrow.ChunkedArray`."""
    parquet = _arrow("pyarrow.parquet")
    known = _facts(file).metadata

    def read() -> Any:
        with parquet.ParquetFile(file, metadata=known) as opened:
            return opened.read_row_group(group, columns=[name]).column(name)

    return _guarded(file, read)


_groups = threading.Lock()


@lru_cache(maxsize=2)
def _pictures(facts: Facts, file: Path, group: int, name: str) -> Any:
    """The column of pictures in one row group; `facts` are others when the file has changed."""
    size = facts.metadata.row_group(group).total_byte_size
    if size > MAX_GROUP:
        raise UserError(
            f"source parquet: {file}: row group {group} has {size >> 20:,} MB, which are read "
            f"at once: write it anew with row groups under {MAX_GROUP >> 20:,} MB"
        )
    return _column(file, group, name)


def _guarded(file: Path, read: Callable[[], T]) -> T:
    """What `read` gives; what pyarrow raises about the file is a `UserError`."""
    try:
        return read()
    except (_arrow("pyarrow").ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"source parquet: {file}: damaged or no Parquet file: {reason}") from None


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """How Hugging Face describes the columns; empty when it does not."""
    try:
        found = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in found.items() if isinstance(feature, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _is_binary(kind: Any) -> bool:
    types = _arrow("pyarrow").types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def _holds_pictures(kind: Any) -> bool:
    if _arrow("pyarrow").types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def _holds_labels(kind: Any) -> bool:
    types = _arrow("pyarrow").types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        types.is_integer(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_boolean(kind)
    )
