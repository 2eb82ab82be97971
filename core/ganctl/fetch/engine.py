"""The fetch itself: listing goes on while pictures come, and what has come is recorded.

The calling thread alone writes the manifest. One thread lists and waits when it is far ahead;
some download, check and store. Which pictures are duplicates is decided at the end, from the
manifest and in the listing's order, so that neither threads nor interruptions change the set.
"""

from __future__ import annotations

import math
import queue
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.pixels import Unreadable
from ..errors import GanctlError, Interrupted
from ..plugin import Item
from ..signals import interruptible
from ..web import Unreachable
from .answers import Down, Later, Refused
from .client import FILES, Web
from .fetched import LISTING, write_labels
from .folder import PICTURES, claimed, reconcile, set_aside, settle
from .manifest import Manifest, Outcome
from .pacing import Patience, Stopped
from .pictures import examined, stem_of, store, sync
from .source import Page, WebSource, Withheld

NEAR = 6
"""Bits of 64 by which perceptual hashes of near duplicates may differ."""
AHEAD = 16
"""Items per worker that may wait to be downloaded."""
LISTED_AHEAD = 1000
"""Items that may be listed and due before the listing waits."""
PAGES_AHEAD = 8
"""Pages that may be asked for before the first of them is recorded."""
GONE = frozenset({400, 404, 410, 451})
"""Answers after which a picture is not asked for in another run."""
GRACE = 10.0
"""Seconds in which downloads may end when the fetch ends early; then they are left behind."""
BATCH = 0.25
"""Seconds between two transactions."""
PAUSE = 0.02
"""Seconds for which messages are gathered: to be woken for each would hold up who sends them."""


@dataclass
class Progress:
    """How far a fetch is: items listed so far and whether that is all, done, kept, and bytes."""

    listed: int = 0
    complete: bool = False
    done: int = 0
    stored: int = 0
    bytes: int = 0
    file: tuple[int, int | None] | None = None
    """Bytes that a file has by now and is to have, while one is downloaded: an archive."""


@dataclass
class Report:
    """What a folder holds after a fetch, and what it lacks for which reason."""

    listed: int
    stored: int
    bytes: int
    duplicates: int
    skipped: int
    failed: int
    unlabelled: int = 0
    """Pictures that are stored without a label, where others have one."""
    notes: tuple[str, ...] = ()
    """What the listing had to say, in this run and earlier ones."""
    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[str, str]] = field(default_factory=dict)
    """For each reason the first item and what exactly was said of it."""


def fetch(
    source: WebSource[Any],
    options: Any,
    folder: Path,
    *,
    name: str,
    terms: str = "",
    patience: Patience | None = None,
    workers: int = 8,
    advance: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Bring the folder up to what the source lists; what is there is not asked for again.

    `terms` is what `agreed` gave. Raises `Interrupted` after the first Ctrl-C, when what was in
    flight is saved; `UserError` for a folder that is another's or in use; `GanctlError` when
    the listing cannot go on, a server asks for a long pause, or nothing at all can be had.
    """
    identity = {"source": name, **source.identity(options), "near_duplicates": NEAR}
    with claimed(folder):
        manifest = Manifest(folder)
        try:
            manifest.begin(identity, source.edition(options))
            found = reconcile(manifest, folder)
            if not manifest.listed or manifest.counts().get("pending"):
                web = Web(folder, patience, workers + 1)
                run = _Run(source, options, folder, manifest, web, found, terms, workers)
                run.work(advance)
            if not (manifest.settled and (folder / PICTURES / LISTING).exists()):
                settle(manifest, NEAR)
                set_aside(reconcile(manifest, folder).values(), folder)
                write_labels(folder, manifest)
                manifest.end_settling()
            report = _report(manifest, folder)
            if not report.failed:  # pictures that are lost later bring it here again
                shutil.rmtree(folder / FILES, ignore_errors=True)
            return report
        finally:
            manifest.close()


def _report(manifest: Manifest, folder: Path) -> Report:
    counts = manifest.counts()
    stored = counts.get("stored", 0)
    report = Report(
        listed=sum(counts.values()),
        stored=stored,
        bytes=manifest.stored_bytes(),
        duplicates=counts.get("duplicate", 0),
        skipped=counts.get("skipped", 0),
        failed=counts.get("failed", 0),
        unlabelled=manifest.unlabelled(),
        notes=manifest.notes(),
    )
    for _, key, why in manifest.reasons():
        reason = why.partition(":")[0]
        report.reasons[reason] += 1
        report.first.setdefault(reason, (key, why))
    if not report.listed:
        manifest.forget_listing()  # what was refused may be allowed by then
        notes = "".join(f"\n{note}" for note in report.notes)
        raise GanctlError(f"{folder}: the source lists no picture{notes}")
    if not stored:
        example = next((f": {key}: {why}" for key, why in report.first.values()), "")
        raise GanctlError(f"{folder}: no picture among the {report.listed:,} listed{example}")
    return report


class _Run:
    """One fetch at work: its threads, and the queues between them."""

    def __init__(
        self,
        source: WebSource[Any],
        options: Any,
        folder: Path,
        manifest: Manifest,
        web: Web,
        found: Mapping[str, Path],
        terms: str,
        workers: int,
    ) -> None:
        self.source, self.options, self.folder = source, options, folder
        self.manifest, self.web, self.found, self.terms = manifest, web, found, terms
        self.workers, self.ahead = workers, AHEAD * workers
        self.tasks: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self.news: queue.SimpleQueue[Page | Outcome | _Listed | _Returned] = queue.SimpleQueue()
        self.limit = source.limit(options)
        self.taken = manifest.count_listed()
        """Of the limit."""
        # With a limit, no page is asked for before it is known how many items are new.
        self.room = threading.Semaphore(PAGES_AHEAD if self.limit is None else 0)
        """Lets the listing go on after a page, once."""
        self.waiting = 0
        """Pages that are recorded and for which the listing has no other room yet."""
        self.listing = not manifest.listed
        self.last = {False: 0, True: 0}
        """Number of the last item that was handed out, of new ones and of those that failed."""
        self.later: Later | None = None
        """Who wants to be left alone for long; the others are asked all the same."""
        self.open = 0
        """Items that are handed out and not back yet."""
        self.fault: BaseException | None = None
        """What ends the fetch early."""
        counts = manifest.counts()
        self.due = counts.get("pending", 0)
        done = sum(counts.values()) - self.due
        there = counts.get("stored", 0) + counts.get("duplicate", 0)
        self.progress = Progress(
            sum(counts.values()), not self.listing, done, there, manifest.stored_bytes()
        )

    def work(self, advance: Callable[[Progress], None]) -> None:
        """Until everything is listed and done, or it has to end."""
        threads = [
            threading.Thread(target=self._download, daemon=True) for _ in range(self.workers)
        ]
        if self.listing:
            threads.append(
                threading.Thread(target=self._list, args=(self.manifest.cursor,), daemon=True)
            )
        for thread in threads:
            thread.start()
        try:
            with interruptible("saving what is on its way", self.web.stop.set) as interrupted:
                try:
                    self._lead(advance)
                finally:
                    self._end()
                    if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
                        for thread in threads:
                            thread.join(1.0)  # they are idle, or left behind
        finally:
            self.web.close()
        if self.fault is not None:
            raise self.fault
        if self.later is not None:
            raise self.later
        if interrupted.is_set() and (
            self.manifest.counts().get("pending") or not self.manifest.listed
        ):
            raise Interrupted("stopped; what is fetched is kept, and the same command goes on")

    def _end(self) -> None:
        """Let every thread come to its end."""
        self.web.stop.set()
        self.room.release()
        for _ in range(self.workers):
            self.tasks.put(None)

    def _lead(self, advance: Callable[[Progress], None]) -> None:
        """Hand out items, and record what became of them, until all is done or has to end."""
        batch: list[Outcome] = []
        written = time.monotonic()
        until = math.inf
        while time.monotonic() < until:
            if self.web.stop.is_set():
                until = min(until, time.monotonic() + GRACE)
            else:
                self._hand_out()
            if self.waiting and (self.due < LISTED_AHEAD or self.web.stop.is_set()):
                self.room.release(self.waiting)
                self.waiting = 0
            if not (self.listing or self.open):
                break
            news: list[Page | Outcome | _Listed | _Returned] = []
            with suppress(queue.Empty):
                news.append(self.news.get(timeout=BATCH))
                self.web.stop.wait(PAUSE)
                while True:
                    news.append(self.news.get_nowait())
            if pages := [one for one in news if isinstance(one, Page)]:
                self._add(pages)
            for one in news:
                self._take(one, batch)
            if batch and time.monotonic() - written > BATCH:
                self._record(batch)
                batch.clear()
                written = time.monotonic()
            self.progress.file = self.web.receiving
            if news or self.progress.file:
                advance(self.progress)
        if batch:
            self._record(batch)

    def _record(self, batch: list[Outcome]) -> None:
        """What became of some items: many files are synced together faster than one by one."""
        files = [self.folder / PICTURES / o.file for o in batch if o.state == "stored"]
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(sync, files))
        self.manifest.record(batch, self.terms)

    def _add(self, pages: list[Page]) -> None:
        """Record pages, in one transaction."""
        items = [item for page in pages for item in page.items]
        cursors = [page.cursor for page in pages if page.cursor is not None]
        notes = [note for page in pages for note in page.notes]
        room = None if self.limit is None else self.limit - self.taken
        fresh = self.manifest.add(items, cursors[-1] if cursors else None, notes, room)
        self.due += fresh
        self.progress.listed += fresh
        self.waiting += len(pages)
        if self.limit is not None:
            self.taken = self.manifest.count_listed()

    def _take(self, news: Page | Outcome | _Listed | _Returned, batch: list[Outcome]) -> None:
        """One message of a thread; the first error in one ends the fetch."""
        if isinstance(news, Outcome):
            self.open -= 1
            batch.append(news)
            self.progress.done += 1
            if news.state == "stored":
                self.progress.stored += 1
                self.progress.bytes += news.bytes
        elif isinstance(news, _Listed):
            self.listing = False
            if news.whole:
                self.manifest.end_listing()
                self.progress.complete = True
        elif isinstance(news, _Returned):
            self.open -= 1
        if isinstance(news, _Listed | _Returned) and news.fault is not None:
            self.fault = self.fault or news.fault
            self.web.stop.set()

    def _hand_out(self) -> None:
        ahead = self.ahead
        if self.open >= ahead // 2:
            return
        for again in (False, True):  # what failed before comes last, and keeps nothing waiting
            if not self.due:
                return
            for number, item in self.manifest.pending(self.last[again], ahead - self.open, again):
                self.last[again] = number
                self.open += 1
                self.due -= 1
                self.tasks.put(item)

    def _list(self, cursor: str | None) -> None:
        """In a thread of its own."""
        whole, fault = False, None
        try:
            for page in self.source.pages(self.options, self.web, cursor):
                if not isinstance(page, Page):
                    raise TypeError(f"pages gave a {type(page).__name__}, not a Page")
                self.news.put(page)
                self.room.acquire()
                if self.web.stop.is_set():
                    break
                if self.limit is not None and self.taken >= self.limit:
                    whole = True
                    break
            else:
                whole = True
        except Stopped:
            pass
        except Later as error:
            self.later = error
        except BaseException as error:
            fault = error
        self.news.put(_Listed(whole, fault))

    def _download(self) -> None:
        """In several threads."""
        while (item := self.tasks.get()) is not None:
            try:
                self.news.put(self._one(item))
            except Stopped:
                self.news.put(_Returned(None))
            except Later as error:
                self.later = error
                self.news.put(_Returned(None))
            except BaseException as error:
                self.news.put(_Returned(error))

    def _one(self, item: Item) -> Outcome:
        there = self.found.get(stem_of(item.key))
        if there is not None:
            with suppress(OSError):
                try:
                    outcome = examined(item, there.read_bytes())
                except Unreadable:
                    there.unlink()  # what comes instead may have another suffix
                else:
                    there.replace(self.folder / PICTURES / outcome.file)
                    return outcome
        if self.web.stop.is_set():
            raise Stopped
        try:
            data = self.source.fetch(self.options, item, self.web)
        except Unreadable as error:
            return Outcome(item.key, "skipped", error=f"unreadable: {error}")
        except Withheld as error:
            return Outcome(item.key, "skipped", error=f"withheld: {error}")
        except Refused as error:
            state = "skipped" if error.status in GONE else "failed"
            return Outcome(item.key, state, error=f"refused ({error.status}): {error}")
        except Unreachable as error:
            asked = not isinstance(error, Down)
            return Outcome(item.key, "failed", error=f"unreachable: {error}", asked=asked)
        return store(item, data, self.folder / PICTURES)


@dataclass(frozen=True)
class _Listed:
    """The listing ended: whole, or not; with an error, or because it had to."""

    whole: bool
    fault: BaseException | None


@dataclass(frozen=True)
class _Returned:
    """An item came back undone."""

    fault: BaseException | None
