"""What a fetch knows: every item once, what became of it, and how far the listing has come.

SQLite with a rollback journal: a killed process leaves either all of a transaction or nothing,
on network file systems too, where a write-ahead log does not work. Pictures are stored before
they are recorded, under names made from their keys, so that a picture whose record was lost
with the process is found again on the disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import GanctlError, UserError
from ..plugin import Item
from .secret import redacted

FILE = "manifest.sqlite"

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, uri TEXT NOT NULL, label TEXT,
    meta TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending', file TEXT, sha256 TEXT, phash TEXT,
    bytes INTEGER, width INTEGER, height INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT, terms TEXT, fetched_at TEXT, listed INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS items_by_state ON items (state, number);
"""


@dataclass(frozen=True)
class Outcome:
    """What became of an item: `stored`, `skipped` for good, or `failed` until another time."""

    key: str
    state: str
    file: str = ""
    sha256: str = ""
    phash: int | None = None
    bytes: int = 0
    width: int = 0
    height: int = 0
    error: str = ""
    asked: bool = True
    """Whether anybody was asked for it at all."""


class Row(NamedTuple):
    """A picture that is stored; `file` is its name in the folder, `meta` is JSON."""

    key: str
    uri: str
    label: str | None
    meta: str
    state: str
    file: str
    sha256: str
    phash: int | None
    bytes: int


class Manifest:
    """The manifest of one folder, for one thread of one process.

    Raises `UserError` when the file is none, `GanctlError` when the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        with self._guard():
            self._db = sqlite3.connect(self._file, isolation_level=None)
            try:
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_TABLES)
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        self._db.close()

    def begin(self, identity: Mapping[str, Any], edition: str = "") -> None:
        """Take the folder up for this identity; items that failed before are due again.

        With another `edition` of the listing than before, it is made again from the start, and
        of the items only those that are stored are remembered. Raises `UserError` when the
        folder is of another identity.
        """
        there = self._fact("identity")
        text = redacted(json.dumps(dict(identity), sort_keys=True))
        if there is None:
            with self._guard():
                self._put("identity", text)
        elif there != text and not self._run("SELECT 1 FROM items LIMIT 1"):
            self.forget_listing()  # nothing came of it: a mistake in its options, mostly
            with self._guard():
                self._put("identity", text)
        elif there != text:
            raise UserError(
                f"{self._file.parent}: holds another fetch "
                f"({_difference(json.loads(there), json.loads(text))}); "
                "name another folder with --out"
            )
        if self.edition not in (None, edition):
            self.forget_listing()
        with self._transaction():
            if self.edition not in (None, edition):
                self._db.execute("DELETE FROM items WHERE state NOT IN ('stored', 'duplicate')")
                self._db.execute("UPDATE items SET listed = 0")
            self._put("edition", edition)
            self._db.execute("UPDATE items SET state = 'pending' WHERE state = 'failed'")

    @property
    def edition(self) -> str | None:
        """Of the listing, as the folder was taken up for it last."""
        return self._fact("edition")

    @property
    def cursor(self) -> str | None:
        """After which the listing goes on."""
        return self._fact("cursor")

    @property
    def listed(self) -> bool:
        """Whether the listing has come to its end."""
        return self._fact("listed") is not None

    def add(
        self,
        items: Iterable[Item],
        cursor: str | None,
        notes: Iterable[str] = (),
        room: int | None = None,
    ) -> int:
        """Record a page and its cursor together; gives how many items are new.

        `room`: so many keys at the most, new or not. Keys that this listing had before are passed
        over; of those from an earlier edition of it, address, label and meta are taken anew.
        """
        rows = [
            (
                _text(i.key),
                _text(i.uri),
                None if i.label is None else _text(i.label),
                redacted(json.dumps(dict(i.meta), sort_keys=True)),
            )
            for i in items
        ]
        with self._transaction():
            fresh = taken = 0
            for row in rows:
                if room is not None and taken >= room:
                    break
                renewed = self._db.execute(
                    "UPDATE items SET uri = ?2, label = ?3, meta = ?4, listed = 1 "
                    "WHERE key = ?1 AND listed = 0",
                    row,
                ).rowcount
                new = self._db.execute(
                    "INSERT OR IGNORE INTO items (key, uri, label, meta) VALUES (?, ?, ?, ?)", row
                ).rowcount
                fresh, taken = fresh + new, taken + new + renewed
            self._db.executemany(
                "INSERT OR IGNORE INTO notes (text) VALUES (?)", [(redacted(n),) for n in notes]
            )
            if cursor is not None:
                self._put("cursor", cursor)
        return fresh

    def count_listed(self) -> int:
        """How many keys the listing has by now, without those of earlier editions alone."""
        return int(self._run("SELECT COUNT(*) FROM items WHERE listed = 1")[0][0])

    def end_listing(self) -> None:
        """Remember that nothing is left to be listed; what only an earlier edition had goes."""
        with self._transaction():
            self._db.execute("DELETE FROM items WHERE listed = 0")
            self._put("listed", "yes")

    def forget_listing(self) -> None:
        """Another run lists from the beginning."""
        with self._transaction():
            self._db.execute("DELETE FROM facts WHERE name IN ('cursor', 'listed', 'settled')")
            self._db.execute("DELETE FROM notes")

    def notes(self) -> tuple[str, ...]:
        """What the listing has to say, in its order."""
        return tuple(text for (text,) in self._run("SELECT text FROM notes ORDER BY number"))

    def pending(self, after: int, limit: int, again: bool) -> list[tuple[int, Item]]:
        """Items that are due, with their numbers, in the listing's order; `again`: those that an
        earlier run asked for in vain."""
        rows = self._run(
            "SELECT number, key, uri, label, meta FROM items WHERE state = 'pending' "
            "AND number > ? AND (attempts > 0) = ? ORDER BY number LIMIT ?",
            (after, again, limit),
        )
        return [
            (number, Item(key, uri, label, json.loads(meta)))
            for number, key, uri, label, meta in rows
        ]

    def record(self, outcomes: Iterable[Outcome], terms: str) -> None:
        """What became of some items, all at once."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            {
                "key": o.key,
                "state": o.state,
                "file": o.file or None,
                "sha256": o.sha256 or None,
                "phash": _hex(o.phash),
                "bytes": o.bytes or None,
                "width": o.width or None,
                "height": o.height or None,
                "error": redacted(o.error) or None,
                "terms": terms,
                "now": now,
                "asked": o.asked,
            }
            for o in outcomes
        ]
        with self._transaction():
            self._db.executemany(
                "UPDATE items SET state = :state, file = :file, sha256 = :sha256, phash = :phash, "
                "bytes = :bytes, width = :width, height = :height, error = :error, "
                "terms = :terms, fetched_at = :now, attempts = attempts + :asked WHERE key = :key",
                rows,
            )
            self._unsettle()

    def settle(self, states: Iterable[tuple[str, str, str]]) -> None:
        """New states of stored pictures: (key, state, why)."""
        rows = [(state, why or None, key) for key, state, why in states]
        with self._transaction():
            self._db.executemany("UPDATE items SET state = ?, error = ? WHERE key = ?", rows)

    @property
    def settled(self) -> bool:
        """Whether all is as `end_settling` left it."""
        return self._fact("settled") is not None

    def end_settling(self) -> None:
        """Remember that duplicates are found, moved, and left out of the labels."""
        with self._guard():
            self._put("settled", "yes")

    def _unsettle(self) -> None:
        self._db.execute("DELETE FROM facts WHERE name = 'settled'")

    def rows(self) -> Iterator[Row]:
        """Every picture that was stored, duplicates too, in the listing's order; lazily."""
        with self._guard():
            found = self._db.execute(
                "SELECT key, uri, label, meta, state, file, sha256, phash, bytes FROM items "
                "WHERE state IN ('stored', 'duplicate') ORDER BY number"
            )
            for key, uri, label, meta, state, file, sha256, phash, size in found:
                value = None if phash is None else int(phash, 16)
                yield Row(key, uri, label, meta, state, file, sha256, value, size)

    def lose(self, keys: Sequence[str]) -> None:
        """These pictures are not on the disk any more: they are due again."""
        if not keys:
            return
        with self._transaction():
            self._unsettle()
            self._db.executemany(
                "UPDATE items SET state = 'pending' WHERE key = ?", [(key,) for key in keys]
            )

    def counts(self) -> dict[str, int]:
        """How many items are in each state."""
        return dict(self._run("SELECT state, COUNT(*) FROM items GROUP BY state"))

    def unlabelled(self) -> int:
        """Stored pictures without a label; 0 where none has one."""
        query = "SELECT COUNT(*) - COUNT(label), COUNT(label) FROM items WHERE state = 'stored'"
        without, having = self._run(query)[0]
        return int(without) if having else 0

    def stored_bytes(self) -> int:
        """Of the pictures that are kept."""
        query = "SELECT COALESCE(SUM(bytes), 0) FROM items WHERE state = 'stored'"
        return int(self._run(query)[0][0])

    def reasons(self) -> list[tuple[str, str, str]]:
        """(state, key, why) of every item that is not there, in the listing's order."""
        return self._run(
            "SELECT state, key, COALESCE(error, '') FROM items "
            "WHERE state NOT IN ('stored', 'pending') ORDER BY number"
        )

    def _fact(self, name: str) -> str | None:
        rows = self._run("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def _put(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def _run(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._guard():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise GanctlError(f"cannot write {self._file}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self._file}: not a manifest of a fetch: {error}") from None


def _hex(value: int | None) -> str | None:
    return None if value is None else f"{value:016x}"


def _text(text: str) -> str:
    """As SQLite can hold it: half a pair of surrogates, of careless JSON, is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Of two identities: the source, if that is another, else the options."""
    if old.get("source") != new.get("source"):
        return f"from {old.get('source')}, not {new.get('source')}"
    names = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
    return ", ".join(f"{n}: {old.get(n)!r}, not {new.get(n)!r}" for n in names)
