"""Which plugins are installed: read from distributions' metadata, without importing one.

Errors are values here: a broken plugin is an `Entry` that fails when it is loaded, with a
message that names its distribution, and never disturbs the others.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from traceback import walk_tb
from typing import Any

from . import options
from .errors import GanctlError, UserError
from .plugin import GROUPS, KINDS, SUPPORTED, Plugin


class PluginError(GanctlError):
    """An installed plugin does not load."""


@dataclass(frozen=True)
class Entry:
    """One plugin as its distribution's metadata announces it."""

    kind: str
    name: str
    value: str
    distribution: str
    version: str
    fallback_summary: str = ""

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name!r} ({self.distribution} {self.version})"

    @property
    def reference(self) -> str:
        """What `find` takes for this very plugin: its name, or `distribution:name`."""
        offers = [e for e in entries(self.kind) if e.name == self.name]
        return self.name if len(offers) == 1 else f"{self.distribution}:{self.name}"

    @property
    def summary(self) -> str:
        """First line of the class's docstring, read from its source without running it."""
        return _docstring_summary(self.value) or self.fallback_summary

    @property
    def found(self) -> bool:
        """Whether the module that the entry point names is there (nothing is imported)."""
        return _source_file(self.value) is not None

    def load(self) -> Plugin[Any]:
        """Import it and return its descriptor. Raises `PluginError`, whatever goes wrong."""
        module_name, _, attribute = self.value.partition(":")
        try:
            with contextlib.redirect_stdout(sys.stderr):  # `--json` owns standard output
                target: Any = importlib.import_module(module_name.strip())
                if not attribute:
                    raise TypeError(f"its entry point names no class: {self.value}:NAME")
                for part in attribute.strip().split("."):
                    target = getattr(target, part)
                self._check(target)
                plugin: Plugin[Any] = target()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.label} does not load: {_reason(error)} "
                f"(to remove it: pip uninstall {self.distribution})"
            ) from error
        return plugin

    @contextmanager
    def guard(self, *, prints: bool = False) -> Iterator[None]:
        """Within: the plugin's code runs; what it raises is a `PluginError` that names it.

        What it prints goes to standard error, unless it `prints`: then standard output is its
        own, and a reader of it that leaves (`| head`) no fault.
        """
        out = contextlib.nullcontext() if prints else contextlib.redirect_stdout(sys.stderr)
        passed = (GanctlError, MemoryError, *((BrokenPipeError,) if prints else ()))
        try:
            with out:
                yield
        except passed:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.label} failed: {_reason(error)} (GANCTL_TRACEBACK=1 shows where)"
            ) from error

    def _wrote(self, module: str) -> bool:
        """Whether the module belongs to the package that the plugin is in."""
        return module.partition(".")[0] == self.value.partition(":")[0].strip().partition(".")[0]

    def _check(self, target: Any) -> None:
        base = KINDS[self.kind]
        if not (isinstance(target, type) and issubclass(target, base)):
            raise TypeError(f"{self.value} is not a subclass of ganctl.{base.__name__}")
        if target.api not in SUPPORTED:
            known = ", ".join(map(str, sorted(SUPPORTED)))
            if target.api is None:
                raise TypeError(f"its class names no plugin API: class …(…, api={max(SUPPORTED)})")
            raise TypeError(f"it was made for plugin API {target.api}; this ganctl has {known}")
        options.describe(target.options_class)


@contextmanager
def blamed(plugins: Sequence[Entry]) -> Iterator[None]:
    """Within: code of several plugins runs; what one of them raises is a `PluginError` that names
    it. It is the one whose code was nearest to where the exception came from."""
    try:
        yield
    except (GanctlError, MemoryError):
        raise
    except Exception as error:
        modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
        modules.append(getattr(error, "module", ""))
        named = (
            plugin for module in reversed(modules) for plugin in plugins if plugin._wrote(module)
        )
        if (culprit := next(named, None)) is None:
            raise
        with culprit.guard():
            raise


def entries(kind: str | None = None) -> list[Entry]:
    """All visible plugins, sorted by kind and name.

    `GANCTL_PLUGINS=a,b` restricts what is seen to those plugin or distribution names.
    One class that two distributions offer (a bundle and a part of it) is one plugin.
    """
    wanted = os.environ.get("GANCTL_PLUGINS")
    names = None if wanted is None else {name.strip() for name in wanted.split(",")}
    order = list(KINDS)
    found = [
        entry
        for entry in _installed()
        if (kind is None or entry.kind == kind)
        and (names is None or entry.name in names or entry.distribution in names)
    ]
    found.sort(key=lambda e: (order.index(e.kind), e.name, e.distribution))
    return list({(e.kind, e.name, e.value): e for e in reversed(found)}.values())[::-1]


def find(kind: str, name: str) -> Entry:
    """The plugin of that name; `distribution:name` chooses between two of one name."""
    distribution, _, short = name.rpartition(":")
    available = entries(kind)
    named = [e for e in available if e.name == short]
    matches = [e for e in named if distribution in ("", e.distribution)]
    if len(matches) == 1:
        return matches[0]
    choices = " or ".join(f"{e.distribution}:{e.name}" for e in named)
    if named and not matches:
        raise UserError(f"{distribution} offers no {kind} {short!r}: write {choices}")
    if named:
        owners = " and ".join(f"{e.distribution} {e.version}" for e in matches)
        raise UserError(f"{kind} {name!r} is offered by {owners}: write {choices}")
    if is_hidden(kind, short):
        raise UserError(f"{kind} {name!r} is installed but GANCTL_PLUGINS hides it")
    others = sorted({e.kind for e in _installed() if e.name == short})
    if others:
        raise UserError(
            f"{name!r} is not a plugin of kind {kind}: it is of kind {', '.join(others)}"
        )
    if not available:
        raise UserError(
            f"no {kind} named {name!r}: none is installed; plugins come by pip, from packages "
            "such as ganctl-mlp (`ganctl list-plugins` shows what is there)"
        )
    raise UserError(
        f"no {kind} named {name!r}" + options.did_you_mean(short, {e.name for e in available})
    )


def entry_of(plugin: Plugin[Any]) -> Entry:
    """What announces this very class. Raises `PluginError` when it is not installed."""
    value = f"{type(plugin).__module__}:{type(plugin).__qualname__}"
    offers = [e for e in _installed() if (e.kind, e.value) == (plugin.kind, value)]
    if not offers:
        raise PluginError(f"{plugin.kind} {value} is not installed: no entry point names it")
    return min(offers, key=lambda e: e.distribution)


def is_hidden(kind: str, name: str) -> bool:
    """Whether a plugin of that name is installed, and GANCTL_PLUGINS hides it."""
    return "GANCTL_PLUGINS" in os.environ and any(
        e.kind == kind and e.name == name for e in _installed()
    )


def duplicates(found: list[Entry]) -> set[tuple[str, str]]:
    """(kind, name) pairs that more than one distribution offers."""
    seen: set[tuple[str, str]] = set()
    twice: set[tuple[str, str]] = set()
    for entry in found:
        key = (entry.kind, entry.name)
        (twice if key in seen else seen).add(key)
    return twice


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _installed() -> Iterator[Entry]:
    kinds = {group: kind for kind, group in GROUPS.items()}
    seen: set[str] = set()
    for distribution in distributions():
        try:
            if "[ganctl." not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, version, summary = _identity(distribution)
            points = [p for p in distribution.entry_points if p.group in kinds]
        except Exception as error:  # damaged metadata must not hide the other plugins
            where = getattr(distribution, "_path", distribution)  # it has no public name
            print(f"ganctl: warning: unreadable metadata in {where}: {error}", file=sys.stderr)
            continue
        if name.lower() in seen:  # an earlier folder of sys.path shadows it
            continue
        seen.add(name.lower())
        for point in points:
            yield Entry(kinds[point.group], point.name, point.value, name, version, summary)


def _identity(distribution: Distribution) -> tuple[str, str, str]:
    metadata = distribution.metadata
    if not metadata["Name"]:
        raise ValueError("no name")
    return metadata["Name"], metadata["Version"], metadata["Summary"] or ""


def _source_file(value: str) -> Path | None:
    """The file of the module that an entry point names; imports nothing."""
    top, *rest = value.partition(":")[0].strip().split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for location in spec.submodule_search_locations or ():
        base = Path(location).joinpath(*rest)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _docstring_summary(value: str) -> str:
    file, name = _source_file(value), value.partition(":")[2].strip()
    if file is None or file.suffix != ".py":
        return ""
    try:
        return _summaries(file, file.stat().st_mtime_ns).get(name, "")
    except (OSError, SyntaxError, ValueError):
        return ""


@cache
def _summaries(file: Path, modified: int) -> dict[str, str]:
    """Of each class in a file that was changed then: a file may hold many plugins."""
    return {
        node.name: (ast.get_docstring(node) or "").partition("\n")[0]
        for node in ast.parse(file.read_bytes()).body
        if isinstance(node, ast.ClassDef)
    }
