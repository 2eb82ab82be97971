"""From a source's pictures, of any kind and size, to a prepared set.

The pictures are worked through in shards. A finished shard is a small zip in a work folder
beside the set, so that a run which was killed goes on after the last of them; the set is put
together from the shards in one pass, in the order of the source, and comes out the same bytes
however often it was interrupted and however many threads there were.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import __version__
from ..errors import GanctlError, UserError
from ..files import sync_folder, write_atomically
from ..options import dump
from ..plugin import Item, Source
from ..spec import ImageSpec
from .cleaning import NearDuplicates
from .dataset import REPORT, DatasetWriter, writing
from .parallel import in_threads
from .pixels import Unreadable
from .preparation import NAMES, Preparation, Prepared, prepare_picture

SHARD = 256
"""Pictures per shard: what a killed run may have to do again."""

AHEAD = 64
"""Finished pictures per thread that may wait while a shard is written: encoded, so small."""

OUTCOMES = "outcomes.json"


@dataclass
class Report:
    """What became of the pictures: images written, and how many were left out for which reason."""

    images: int = 0
    kept: int = 0
    enlarged: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[str, str]] = field(default_factory=dict)
    """For each reason the first file and what exactly was said of it."""

    @property
    def pictures(self) -> int:
        return self.kept + self.left_out.total()


class NothingUsable(UserError):
    """Every picture was left out."""


def prepared_path(
    folder: Path,
    name: str,
    source: Source[Any],
    options: Any,
    spec: ImageSpec,
    how: Preparation,
) -> Path:
    """Where the prepared set lies: the same pictures, options and size give the same name."""
    text = _identity(name, source, options, spec, how, source.fingerprint(options))
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return folder / f"{name.replace(':', '-')}-{spec.size}-{digest}.zip"


def prepare(
    source: Source[Any],
    options: Any,
    spec: ImageSpec,
    path: Path,
    how: Preparation | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Report:
    """Make the set at `path`: every picture decoded, cleaned, framed and stored, or accounted for.

    `how` defaults to what the source wants. `advance` is told how many pictures are done. Raises
    `UserError` when none is left or the set exists, `GanctlError` when the disk refuses or the
    source changes meanwhile; what is done stays in the work folder, and the same call goes on
    there.
    """
    how = replace(how or Preparation(), channels=NAMES[spec.channels]).decided(source, options)
    refuse_existing(path)
    work = path.with_name(f".{path.name}.work")
    before = source.fingerprint(options)
    identity = _identity("", source, options, spec, how, before)
    with _claimed(work, path):
        try:
            refuse_existing(path)  # another process may have finished it meanwhile
            _begin(work, identity)
            _work_through(source, options, spec, how, work, advance)
            if source.fingerprint(options) != before:
                raise GanctlError(
                    f"the pictures for {path} changed while they were prepared: run it again"
                )
            with _going_on_later():
                report = _assemble(work, path, spec, how)
        except BaseException as error:
            if isinstance(error, NothingUsable) or not any(work.glob("*.zip")):
                shutil.rmtree(work, ignore_errors=True)  # nothing to go on with
            raise
        shutil.rmtree(work, ignore_errors=True)
        return report


def refuse_existing(path: Path) -> None:
    """Raise `UserError` if the set is there already."""
    if path.exists():
        raise UserError(f"{path}: exists already; remove it or choose another name")


def _identity(
    name: str,
    source: Source[Any],
    options: Any,
    spec: ImageSpec,
    how: Preparation,
    fingerprint: str,
) -> str:
    module = type(source).__module__, type(source).__qualname__  # two may offer one name
    facts = [__version__, *module, name, dump(options), spec.size, dump(how), fingerprint]
    return json.dumps(facts, sort_keys=True)


@contextmanager
def _claimed(work: Path, path: Path) -> Iterator[None]:
    """Within: the work folder is there, and no other process works in it."""
    with writing(path):
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(f"{path}: another process is preparing this set") from None
    try:
        yield
    finally:
        lock.release()


def _begin(work: Path, identity: str) -> None:
    """Keep the shards of an earlier, interrupted call if they are of the same work."""
    file = work / "identity.json"
    with suppress(OSError):
        if file.read_text(encoding="utf-8") == identity:
            return
    for shard in work.glob("*.zip"):
        shard.unlink()
    write_atomically(file, identity.encode())


def _work_through(
    source: Source[Any],
    options: Any,
    spec: ImageSpec,
    how: Preparation,
    work: Path,
    advance: Callable[[int], None],
) -> None:
    """Write the shards that are not there yet."""
    done = 0

    def missing() -> Iterator[tuple[Path, Item]]:
        nonlocal done
        for number, items in enumerate(_batches(source.items(options), SHARD)):
            file = work / f"{number:06d}.zip"
            if _holds(file, items):
                done += len(items)
            else:
                yield from ((file, item) for item in items)

    def one(wanted: tuple[Path, Item]) -> tuple[Path, Item, Prepared]:
        file, item = wanted
        try:
            data = source.open(options, item)
        except Unreadable as error:
            return file, item, Prepared(why=f"unreadable: {error}")
        return file, item, prepare_picture(data, how, spec)

    with closing(in_threads(one, missing(), AHEAD)) as results:
        for file, shard in groupby(results, key=itemgetter(0)):
            outcomes = []
            for _, item, outcome in shard:
                outcomes.append((item, outcome))
                done += 1
                advance(done)
            with _going_on_later():
                _write_shard(file, outcomes)
    advance(done)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _holds(file: Path, items: list[Item]) -> bool:
    """Whether the shard is there, and of these very items."""
    if not file.exists():
        return False
    with zipfile.ZipFile(file) as shard:
        records = json.loads(shard.read(OUTCOMES))
    there = [(record["key"], record["label"]) for record in records]
    return there == [(item.key, item.label) for item in items]


def _write_shard(file: Path, outcomes: list[tuple[Item, Prepared]]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        records = []
        for index, (item, outcome) in enumerate(outcomes):
            names = [f"{index}.{number}" for number in range(len(outcome.images))]
            for name, data in zip(names, outcome.images, strict=True):
                archive.writestr(zipfile.ZipInfo(name), data)
            facts = asdict(outcome) | {"images": names}
            records.append({"key": item.key, "label": item.label, **facts})
        archive.writestr(zipfile.ZipInfo(OUTCOMES), json.dumps(records))
    write_atomically(file, buffer.getvalue())
    sync_folder(file.parent)


def _assemble(work: Path, path: Path, spec: ImageSpec, how: Preparation) -> Report:
    """The set from its shards: duplicates are found here, where the order is known."""
    report, seen = Report(), dict[str, str]()
    near = NearDuplicates(-1 if how.near_duplicates is None else how.near_duplicates)
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["file", "kept", "why", "images", "label", "width", "height"])
    suffix = ".jpg" if how.format == "jpeg" else ".png"
    with DatasetWriter(path, spec, work, {"filter": how.filter}) as writer:
        for file in sorted(work.glob("*.zip")):
            with zipfile.ZipFile(file) as shard:
                for record in json.loads(shard.read(OUTCOMES)):
                    key, label = record["key"], record["label"]
                    if how.discs == "label":
                        label = "disc" if record["disc"] else "square"
                    why = record["why"] or _duplicate(record, how, seen, near)
                    names = []
                    if not why:
                        names = [
                            writer.add_encoded(shard.read(name), suffix, label)
                            for name in record["images"]
                        ]
                        report.kept += 1
                        report.images += len(names)
                        report.labels[label or ""] += len(names)
                        report.enlarged += (
                            record["width"] < spec.width or record["height"] < spec.height
                        )
                    else:
                        reason = _kind(why)
                        report.left_out[reason] += 1
                        report.first.setdefault(reason, (key, why))
                    size = (record["width"] or "", record["height"] or "")
                    kept = "no" if why else "yes"
                    rows.writerow([key, kept, why, " ".join(names), label or "", *size])
        if not report.kept:
            example = "".join(f": {shown(key)}: {why}" for key, why in [*report.first.values()][:1])
            raise NothingUsable(f"no usable picture among {report.pictures}{example}")
        writer.add_file(REPORT, table.getvalue().encode("utf-8", "backslashreplace"))
    return report


def _duplicate(
    record: dict[str, Any], how: Preparation, seen: dict[str, str], near: NearDuplicates
) -> str:
    """Which earlier picture this one repeats, as a reason; remembers it otherwise."""
    if how.duplicates == "drop":
        for digest, same in ((record["sha256"], "file"), (record["images_sha256"], "pixels")):
            if earlier := seen.get(digest):
                return f"duplicate: the same {same} as {earlier}"
        seen |= dict.fromkeys((record["sha256"], record["images_sha256"]), record["key"])
    if record["hash"] is not None:
        if earlier := near.find(record["hash"]):
            return f"near duplicate: looks like {earlier}"
        near.add(record["hash"], record["key"])
    return ""


def _kind(why: str) -> str:
    """What reasons have in common, to be counted."""
    return why.partition(":")[0]


def shown(name: str) -> str:
    """A file name as one line can hold it."""
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


@contextmanager
def _going_on_later() -> Iterator[None]:
    """Within: a disk that refuses is reported with what to do."""
    try:
        yield
    except UserError:
        raise
    except GanctlError as error:
        raise GanctlError(f"{error}; what is done is kept: make room and run it again") from None
