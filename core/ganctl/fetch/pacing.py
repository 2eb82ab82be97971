"""When the next request may go: a host's own pace, its wishes, and retries at random times."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Patience:
    """How long servers are waited for, in seconds, and how often they are asked."""

    connect: float = 10
    read: float = 30
    """Without one byte."""
    whole: float = 60
    """For a whole answer; of a file, for each 8 MB."""
    attempts: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30
    """Between attempts, when the server does not say how long."""
    told_wait: float = 120
    """What a server may ask for; more ends the fetch."""
    redirects: int = 5
    hopeless: int = 10
    """Requests given up in a row after which a host is asked nothing more."""


class Stopped(Exception):
    """The fetch is ending: nothing more is asked of anybody."""


class Pacer:
    """Waits, per host, until it may be asked again; `stop` ends every wait."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def wait(self, host: str, every: float = 0.0) -> None:
        """Until the host may be asked; the next one waits `every` seconds more.

        Raises `Stopped` when the fetch ends meanwhile.
        """
        while not self._stop.is_set():
            with self._lock:
                now = time.monotonic()
                left = self._next.get(host, 0.0) - now
                if left <= 0:
                    self._next[host] = now + every
                    return
            self._stop.wait(left)
        raise Stopped

    def hold(self, host: str, seconds: float) -> None:
        """Ask nothing of the host for so long."""
        with self._lock:
            until = time.monotonic() + seconds
            self._next[host] = max(self._next.get(host, 0.0), until)

    def rest(self, seconds: float) -> None:
        """Wait so long. Raises `Stopped` when the fetch ends meanwhile."""
        if self._stop.wait(seconds):
            raise Stopped


def jitter(attempt: int, first: float, longest: float) -> float:
    """Seconds before the next attempt, the first being 1: anything up to a limit that doubles."""
    return random.uniform(0, min(longest, first * 2.0 ** min(attempt - 1, 30)))


def retry_after(text: str | None) -> float | None:
    """The seconds that a `Retry-After` asks for, as a number or a date; None if it says nothing."""
    if text is None:
        return None
    text = text.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:12])
    try:
        when = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, when - time.time())
