"""A record of every request, for tests to ask."""

from __future__ import annotations

import threading
import time
from collections import Counter
from fnmatch import fnmatchcase
from itertools import pairwise

from .messages import Request


class Journal:
    """The requests to all servers of a service, in the order in which they arrived."""

    def __init__(self) -> None:
        self._entries: list[Request] = []
        self._news = threading.Condition(threading.RLock())

    def add(self, request: Request) -> None:
        with self._news:
            self._entries.append(request)
            request.number, request.time = len(self._entries), time.monotonic()
            self._news.notify_all()

    def note(self, request: Request, **changes: object) -> None:
        """Write down what became of a request."""
        with self._news:
            for name, value in changes.items():
                setattr(request, name, value)
            self._news.notify_all()

    def requests(
        self,
        path: str = "*",
        *,
        server: str | None = None,
        method: str | None = None,
        status: int | None = None,
    ) -> list[Request]:
        """Those with a path like that (`*` and `?` as in the shell), in their order."""
        with self._news:
            return [
                entry
                for entry in self._entries
                if fnmatchcase(entry.path, path)
                and server in (None, entry.server)
                and method in (None, entry.method)
                and status in (None, entry.status)
            ]

    def __len__(self) -> int:
        return len(self.requests())

    def gaps(self, path: str = "*", *, server: str | None = None) -> list[float]:
        """Seconds from each request to the next, by the server's clock."""
        times = [entry.time for entry in self.requests(path, server=server)]
        return [after - before for before, after in pairwise(times)]

    def repeated(self, path: str = "*", *, server: str | None = None) -> dict[str, int]:
        """Targets that were sent whole more than once, and how often."""
        entries = self.requests(path, server=server)
        whole = Counter(e.target for e in entries if e.status == 200 and e.done is not None)
        return {target: count for target, count in whole.items() if count > 1}

    def authorized(self, server: str) -> list[Request]:
        """Requests to that server that carried credentials."""
        return [e for e in self.requests(server=server) if "Authorization" in e.headers]

    def most_at_once(self, path: str = "*", *, server: str | None = None) -> int:
        """How many of them were being answered at one time, at the most."""
        moments = []
        for entry in self.requests(path, server=server):
            moments += [(entry.time, 1), (entry.over or entry.done or float("inf"), -1)]
        most = now = 0
        for _, change in sorted(moments):
            now += change
            most = max(most, now)
        return most

    def wait_for(
        self, count: int, path: str = "*", *, server: str | None = None, timeout: float = 30.0
    ) -> bool:
        """Wait until so many requests came; whether they did."""
        with self._news:
            return self._news.wait_for(
                lambda: len(self.requests(path, server=server)) >= count, timeout
            )

    def clear(self) -> None:
        """Forget everything up to now; numbers start again at 1."""
        with self._news:
            self._entries.clear()

    def __str__(self) -> str:
        return "\n".join(map(str, self.requests()))
