"""What was fetched, as a source of this machine: read by preparation."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..data.pixels import Unreadable
from ..errors import UserError
from ..files import write_atomically
from ..options import Opt
from ..plugin import Item, Source
from .folder import PICTURES
from .manifest import FILE, Manifest, Row

LISTING = "dataset.json"


@dataclass(frozen=True)
class FetchedOptions:
    """Where the pictures are."""

    path: Annotated[str, Opt("The folder that `ganctl fetch` made.")] = ""


class Fetched(Source[FetchedOptions], api=1):
    """The pictures that `ganctl fetch` brought, in the listing's order, with their labels."""

    def reads(self, path: Path) -> bool:
        return (path / FILE).is_file() and (path / PICTURES).is_dir()

    def check(self, options: FetchedOptions) -> None:
        if not (Path(options.path) / FILE).is_file():
            raise UserError(f"{options.path}: not a folder that `ganctl fetch` made")
        if not is_complete(Path(options.path)):
            print(
                f"ganctl: warning: {options.path}: this fetch is not finished, so pictures are "
                "missing; its command goes on with it",
                file=sys.stderr,
            )

    def fingerprint(self, options: FetchedOptions) -> str:
        facts = [(row.key, row.sha256, row.label) for row in _kept(Path(options.path))]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def count(self, options: FetchedOptions) -> int:
        return len(_kept(Path(options.path)))

    def items(self, options: FetchedOptions) -> Iterator[Item]:
        folder = Path(options.path) / PICTURES
        for row in _kept(Path(options.path)):
            yield Item(row.key, str(folder / row.file), row.label, json.loads(row.meta))

    def open(self, options: FetchedOptions, item: Item) -> bytes:
        try:
            return Path(item.uri).read_bytes()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None


def is_complete(folder: Path, edition: str | None = None, *, nothing_failed: bool = False) -> bool:
    """Whether everything was listed and asked for, of that edition if one is named.

    What failed may come another time: with `nothing_failed`, that is not complete.
    """
    if not (folder / FILE).is_file():
        return False
    manifest = Manifest(folder)
    try:
        counts = manifest.counts()
        left = counts.get("pending", 0) + (counts.get("failed", 0) if nothing_failed else 0)
        return manifest.settled and edition in (None, manifest.edition) and not left
    finally:
        manifest.close()


def write_labels(folder: Path, manifest: Manifest) -> None:
    """Beside the pictures, as StyleGAN's tools and the source `folder` read it."""
    kept = (row for row in manifest.rows() if row.state == "stored")
    labelled = [(row.file, row.label) for row in kept if row.label is not None]
    names = sorted({label for _, label in labelled})
    numbers = {name: number for number, name in enumerate(names)}
    labels = [[file, numbers[label]] for file, label in labelled]
    listing = {"labels": labels or None, "label_names": names}
    write_atomically(folder / PICTURES / LISTING, json.dumps(listing).encode())


def _kept(folder: Path) -> list[Row]:
    if not (folder / FILE).is_file():
        return []  # before the first fetch
    manifest = Manifest(folder)
    try:
        return [row for row in manifest.rows() if row.state == "stored"]
    finally:
        manifest.close()
