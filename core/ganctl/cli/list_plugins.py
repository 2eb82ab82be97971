"""`ganctl list-plugins`: from metadata alone, so that a broken plugin is listed too."""

from __future__ import annotations

import argparse
import json
from typing import Any, NoReturn

from ..errors import UserError
from ..plugin import KINDS
from ..registry import Entry, PluginError, duplicates, entries
from . import commands


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"list-plugins: {message} (see `ganctl list-plugins --help`)")


def run(argv: list[str]) -> int:
    parser = _Parser(
        prog="ganctl list-plugins",
        description="Show the installed plugins. Nothing is imported unless --check is given.",
        allow_abbrev=False,
    )
    parser.add_argument("--kind", choices=list(KINDS), help="only plugins of this kind")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--check", action="store_true", help="import each one and say if it works")
    try:
        asked = parser.parse_args(argv)
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    found = entries(asked.kind)
    twice = duplicates(found)
    rows = [_row(entry, twice, asked.check) for entry in found]
    if asked.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_table(rows)
    return 1 if any(row["state"] == "broken" for row in rows) and asked.check else 0


def _row(entry: Entry, twice: set[tuple[str, str]], check: bool) -> dict[str, Any]:
    state, problem = "found", None
    if (entry.kind, entry.name) in twice:
        state, problem = "duplicate", f"choose it as {entry.distribution}:{entry.name}"
    if commands.shadowed(entry):
        state = "duplicate"
        problem = f"ganctl has a command of this name: this one is {commands.typed(entry)}"
    if not entry.found:
        state, problem = "broken", f"{entry.value}: no such module"
    elif check:
        try:
            entry.load()
            state = "ok" if state == "found" else state
        except PluginError as error:
            state, problem = "broken", str(error)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": entry.summary,
        "state": state,
        "problem": problem,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print("No plugins are installed. They come by pip, from packages such as ganctl-mlp.")
        return
    titles = {"name": "NAME", "kind": "KIND", "owner": "DISTRIBUTION", "state": "STATE"}
    for row in rows:
        row["owner"] = f"{row['distribution']} {row['version']}"
    widths = {key: max(len(t), *(len(r[key]) for r in rows)) for key, t in titles.items()}
    for row in [{**titles, "summary": "SUMMARY", "problem": None}, *rows]:
        cells = [f"{row[key]:<{widths[key]}}" for key in titles]
        print("  ".join([*cells, row["problem"] or row["summary"]]).rstrip())
