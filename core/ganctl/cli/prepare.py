"""`ganctl prepare`: from any pictures to a set of equal images."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data.preparation import Preparation
from ..data.prepare import Report, refuse_existing, shown
from ..data.prepare import prepare as prepare_set
from ..errors import Interrupted, UserError
from ..fetch.source import WebSource
from ..options import load
from ..registry import Entry, PluginError, entries
from ..signals import interruptible
from ..spec import ImageSpec, parse_resolution
from ..training.plan import Choice
from .console import progress, quiet_libraries, say
from .parse import Group, existing, first_pass, run_command, with_options


def run(argv: list[str]) -> int:
    named = first_pass(argv, ["source"])
    groups = [Group("", Preparation, "Preparation of the pictures")]
    if "source" in named:
        choice = Choice.make("source", {"name": named["source"]})
        title = f"{choice.entry.name} (source)"
        groups.append(Group("source", choice.plugin.options_class, title))

    def prepare(
        given: dict[str, dict[str, Any]],
        pictures: Annotated[
            str | None,
            typer.Argument(metavar="SRC", help="Where the pictures are: a folder, a zip, a list …"),
        ] = None,
        out: Annotated[str | None, typer.Option(metavar="SET.zip", help="The set to make.")] = None,
        resolution: Annotated[
            str | None, typer.Option(help="Size of the images: 256, or 256x384 (height x width).")
        ] = None,
        source: Annotated[
            str | None, typer.Option(help="Which source reads SRC, where several could.")
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print the account as JSON on standard output.")
        ] = False,
    ) -> int:
        """Make a set of equal images; report.csv in it tells what became of every file."""
        if out is None:
            raise UserError("prepare: name the set to make: --out SET.zip")
        if not out.endswith(".zip"):
            raise UserError(f"prepare: --out {out}: a set is a .zip")
        refuse_existing(Path(out))
        options = dict(given.get("source", {}))
        if pictures is not None:
            options["path"] = pictures
            source = source or which_source(existing(pictures)).reference
        elif source is None:
            raise UserError("prepare: say where the pictures are: ganctl prepare SRC")
        choice = Choice.make("source", {"name": source, **options})
        if isinstance(choice.plugin, WebSource):
            raise UserError(
                f"prepare: pictures from the web are fetched first: ganctl fetch --source {source} "
                "--out DIR; then ganctl prepare DIR"
            )
        how = load(Preparation, given[""], "")
        with choice.entry.guard():
            choice.plugin.check(choice.options)
            how = how.decided(choice.plugin, choice.options)
            resolution = resolution or choice.plugin.resolution(choice.options)
        if resolution is None:
            raise UserError("prepare: say how large the images shall be: --resolution 256")
        spec = ImageSpec(*parse_resolution(resolution), how.channel_count)
        report = run_preparation(choice, spec, Path(out), how)
        tell(report, spec)
        if as_json:
            print(json.dumps(summary(report) | {"set": out}))
        else:
            print(out)
        return 0

    return run_command(with_options(prepare, groups), "prepare", argv)


def which_source(path: Path) -> Entry:
    """The installed source that reads this path. Raises `UserError` for none or several."""
    found = []
    for entry in entries("source"):
        try:
            plugin: Any = entry.load()
            with entry.guard():
                if plugin.reads(path):
                    found.append(entry)
        except PluginError as error:
            print(f"ganctl: warning: {error}", file=sys.stderr)
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(f"--source {entry.reference}" for entry in found)
        raise UserError(f"{path}: several sources read this: say {names}")
    raise UserError(
        f"{path}: no installed source reads this (`ganctl list-plugins --kind source` shows them)"
    )


def run_preparation(source: Choice, spec: ImageSpec, path: Path, how: Preparation | None) -> Report:
    """Make the set, with a progress bar."""
    with quiet_libraries(), source.entry.guard():
        count = source.plugin.count(source.options)
        with (
            progress("preparing", count, "images") as update,
            interruptible("stopping after this picture") as interrupted,
        ):

            def advance(done: int) -> None:
                if interrupted.is_set():
                    raise Interrupted("stopped; the same command goes on where it was")
                update(done)

            return prepare_set(source.plugin, source.options, spec, path, how, advance)


def tell(report: Report, spec: ImageSpec) -> None:
    """Say what became of the pictures."""
    kept = f"kept {report.kept:,} of {report.pictures:,} pictures"
    say(kept if report.images == report.kept else f"{kept}: {report.images:,} images")
    for reason, number in report.left_out.most_common(8):
        file, why = report.first[reason]
        detail = f"{shown(file)}{why.removeprefix(reason)}"
        say(f"  left out {number:,}: {reason} ({'such as ' if number > 1 else ''}{detail})")
    if report.left_out:
        say("  report.csv in the set tells why, for every file")
    if report.enlarged:
        say(
            f"  {report.enlarged:,} pictures were smaller than {spec.height}x{spec.width} and "
            "were enlarged (--min-size leaves them out)"
        )
    classes = {label: number for label, number in report.labels.items() if label}
    if classes and "" in report.labels:
        say(f"  unlabelled: {report.labels['']:,} images, so no image of the set keeps its label")
    elif classes:
        least, most = min(classes.values()), max(classes.values())
        word = "class" if len(classes) == 1 else "classes"
        say(f"  {len(classes)} {word} of {least:,} to {most:,} images")


def summary(report: Report) -> dict[str, Any]:
    """The account as JSON holds it."""
    return {
        "pictures": report.pictures,
        "kept": report.kept,
        "images": report.images,
        "enlarged": report.enlarged,
        "labels": dict(report.labels),
        "left_out": dict(report.left_out),
    }
