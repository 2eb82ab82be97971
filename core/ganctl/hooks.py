"""What plugins may watch: the events of a run's life, as pluggy specifications.

A hook method takes any subset of the arguments below, by name. Each hook plugin is called
on its own: one that raises is reported once, with its distribution, and left out for the
rest of the run; training goes on. Hooks cannot change results: every phase of every step
is seeded anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .interfaces import Progress
    from .plugin import Hook
    from .training.session import Session

hookspec = pluggy.HookspecMarker("ganctl")
hookimpl = pluggy.HookimplMarker("ganctl")


class HookSpecs:
    """The events, in the order in which they come."""

    @hookspec
    def start(self, session: Session) -> None:
        """Everything is built, nothing trained yet (after resuming: since the checkpoint)."""

    @hookspec
    def step(self, session: Session, progress: Progress) -> None:
        """A step is done. Called for every step: be quick, and do not read from the GPU."""

    @hookspec
    def measure(self, session: Session, progress: Progress) -> dict[str, float]:  # type: ignore[empty-body]
        """Figures that go into this line of log.jsonl, and to the hooks' `tick`."""

    @hookspec
    def tick(self, session: Session, progress: Progress, figures: dict[str, float]) -> None:
        """A line went into log.jsonl; `figures` holds its numbers."""

    @hookspec
    def evaluating(self, session: Session, images: int, total: int) -> None:
        """So many of the generated images of an evaluation have been looked at."""

    @hookspec
    def evaluate(self, session: Session, progress: Progress, figures: dict[str, float]) -> None:
        """The evaluators' figures went into metrics.jsonl."""

    @hookspec
    def sample(self, session: Session, progress: Progress, picture: Path) -> None:
        """A grid of samples was written to `picture`."""

    @hookspec
    def checkpoint(self, session: Session, progress: Progress, folder: Path) -> None:
        """A checkpoint was written to `folder`."""

    @hookspec
    def end(self, session: Session, progress: Progress, outcome: str) -> None:
        """The run is over: `outcome` is `done`, `interrupted` or `failed`."""


class Hooks:
    """The hook plugins of a run, each behind a manager of its own."""

    def __init__(self, plugins: Iterable[tuple[str, Any]] = ()) -> None:
        self._managers: list[tuple[str, pluggy.PluginManager]] = []
        for label, plugin in plugins:
            self.add(label, plugin)

    def add(self, label: str, plugin: Any) -> None:
        """One more hook; it is left out with a warning if its methods fit no event."""
        manager = pluggy.PluginManager("ganctl")
        manager.add_hookspecs(HookSpecs)
        try:
            manager.register(plugin)
            manager.check_pending()
        except Exception as error:
            self._complain(label, "does not fit", error)
        else:
            self._managers.append((label, manager))

    @classmethod
    def installed(cls) -> Hooks:
        """Every installed hook that loads and has what it needs."""
        from .registry import PluginError, entries

        plugins: list[tuple[str, Any]] = []
        for entry in entries("hook"):
            try:
                plugin: Hook[Any] = entry.load()  # type: ignore[assignment]
                missing = plugin.missing()
            except PluginError as error:
                print(f"ganctl: warning: {error}", file=sys.stderr)
                continue
            except Exception as error:
                cls._complain(entry.label, "failed in missing()", error)
                continue
            if missing is None:
                plugins.append((entry.label, plugin))
        return cls(plugins)

    def listens(self, event: str) -> bool:
        """Whether any hook implements the event."""
        return any(getattr(m.hook, event).get_hookimpls() for _, m in self._managers)

    def call(self, event: str, **arguments: Any) -> None:
        """Call the event of every hook; drop those that raise."""
        for label, manager in list(self._managers):
            try:
                getattr(manager.hook, event)(**arguments)
            except Exception as error:
                self._complain(label, f"failed in {event}() and is left out from now on", error)
                self._managers.remove((label, manager))

    def measure(self, **arguments: Any) -> dict[str, float]:
        """The figures of every hook's `measure`; hooks that raise, or give none, are dropped."""
        figures: dict[str, float] = {}
        for label, manager in list(self._managers):
            try:
                for measured in manager.hook.measure(**arguments):
                    figures |= as_figures(measured)
            except Exception as error:
                self._complain(label, "failed in measure() and is left out from now on", error)
                self._managers.remove((label, manager))
        return figures

    @staticmethod
    def _complain(label: str, what: str, error: Exception) -> None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"ganctl: warning: {label} {what}: {reason}", file=sys.stderr)


def as_figures(measured: dict[str, Any]) -> dict[str, float]:
    """Names and numbers as a line of a log can hold them. Raises `TypeError`, `ValueError`."""
    figures = {str(name): float(value) for name, value in dict(measured).items()}
    if reserved := {"images", "step"} & figures.keys():
        raise ValueError(f"a figure cannot be called {reserved.pop()!r}")
    return figures
