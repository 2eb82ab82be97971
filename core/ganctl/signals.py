"""Ctrl-C once ends what is going on and keeps it; twice ends it at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible(
    doing: str, heard: Callable[[], None] = lambda: None
) -> Iterator[threading.Event]:
    """Within: the first Ctrl-C (or SIGTERM) sets the event, calls `heard`, and says what it is
    `doing` from now on; the second raises `KeyboardInterrupt`.

    Signals reach the main thread alone: in another, nothing is set.
    """
    came = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()
        heard()
        print(f"ganctl: {doing}; again to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
