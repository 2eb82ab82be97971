"""What a command says while it works: all of it on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def say(message: str) -> None:
    """A line for the person at the terminal."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within: what C libraries write to standard error is dropped (libtiff has much to say).

    Python's own `sys.stderr` goes on to where it went before.
    """
    try:
        number = sys.stderr.fileno()
        ours = open(os.dup(number), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    except (OSError, ValueError, AttributeError):  # no real standard error: nothing to quiet
        yield
        return
    theirs, sys.stderr = sys.stderr, ours
    theirs.flush()
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), number)
    try:
        yield
    finally:
        ours.flush()
        os.dup2(ours.fileno(), number)
        sys.stderr = theirs
        ours.close()


@contextmanager
def progress(
    description: str, total: int | None, unit: str, done: int = 0
) -> Iterator[Callable[..., None]]:
    """A bar with rate and time left; quiet when standard error is not a terminal.

    Yields `update(done, note=None, total=None)`; a total may become known meanwhile. `done` is
    where it starts: a resumed run is not at zero.
    """
    if not sys.stderr.isatty():
        yield lambda done, note=None, total=None: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Percent(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.total is None else f"{task.percentage:>3.0f}%")

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} {unit}/s")

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        Percent(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, soft_wrap=True),  # an address is not broken into lines
    )
    with bar:
        task = bar.add_task(description, total=total, completed=done, note="")

        def update(done: int, note: str | None = None, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)
            if note is not None:
                bar.update(task, note=note)

        yield update


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a text in which they stand below one another."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    rows = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in row).rstrip() for row in rows)
