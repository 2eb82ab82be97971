"""`ganctl fetch`: pictures from the web into a folder; `train` begins with the same."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError
from ..fetch.engine import Progress, Report, fetch
from ..fetch.manifest import FILE
from ..fetch.source import Plan, WebSource
from ..fetch.terms import agreed
from ..training.plan import Choice, fetch_folder
from .console import progress, say
from .parse import Group, first_pass, run_command, with_options

AcceptTerms = Annotated[
    str,
    typer.Option(metavar="NAME@VERSION", help="The terms of the service that you accept."),
]
Permission = Annotated[
    str,
    typer.Option(
        help="Who allowed you what these terms forbid, and when: by this you assert that you "
        "hold it."
    ),
]


def run(argv: list[str]) -> int:
    named = first_pass(argv, ["source"])
    groups = []
    if "source" in named:
        choice = Choice.make("source", {"name": named["source"]})
        groups.append(Group("source", choice.plugin.options_class, f"{named['source']} (source)"))

    def fetch(
        given: dict[str, dict[str, Any]],
        source: Annotated[str | None, typer.Option(help="Where pictures come from.")] = None,
        out: Annotated[
            str | None,
            typer.Option(metavar="DIR", help="Folder for them; if not given, where train looks."),
        ] = None,
        accept_terms: AcceptTerms = "",
        permission: Permission = "",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what it comes to; fetch no picture.")
        ] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print the account as JSON on standard output.")
        ] = False,
    ) -> int:
        """Bring pictures from the web into a folder. The same command goes on after a stop.

        `ganctl list-plugins --kind source` shows the sources, `ganctl describe NAME` their options.
        """
        if source is None:
            raise UserError("fetch: say where from: ganctl fetch --source NAME")
        choice = Choice.make("source", {"name": source, **given["source"]})
        if not isinstance(choice.plugin, WebSource):
            raise UserError(
                f"fetch: {source} reads what is on this machine: ganctl prepare --source {source}"
            )
        folder = fetch_folder(choice) if out is None else Path(out)
        terms = terms_of(choice, accept_terms, permission)
        if dry_run:
            plan = plan_of(choice)
            if as_json:
                print(json.dumps(asdict(plan) | {"folder": str(folder)}))
            else:
                tell_plan(choice, plan, folder)
            return 0
        report = bring(choice, folder, terms)
        if as_json:
            print(json.dumps(vars(report) | {"folder": str(folder)}))
        else:
            print(folder)
        return 1 if report.failed else 0

    return run_command(with_options(fetch, groups), "fetch", argv)


def terms_of(choice: Choice, accepted: str, permission: str) -> str:
    """What the manifest keeps of the terms. Raises `UserError` before anything is asked."""
    name = choice.entry.name
    with choice.entry.guard():
        terms = choice.plugin.terms(choice.options)
    kept = agreed(name, terms, accepted, permission)
    if terms is not None and terms.training == "unclear":
        say(
            f"{name}: its terms ({terms.url}) do not say whether a model may be trained on this: "
            "that is for you to find out"
        )
    return kept


def plan_of(choice: Choice) -> Plan:
    """What a fetch comes to, as the source says after a request or two."""
    from ..fetch.client import Web

    web = Web()
    try:
        with choice.entry.guard():
            choice.plugin.check(choice.options)
            plan = choice.plugin.plan(choice.options, web)
            if not isinstance(plan, Plan):
                raise TypeError(f"plan gave a {type(plan).__name__}, not a Plan")
            return plan
    finally:
        web.close()


def tell_plan(choice: Choice, plan: Plan, folder: Path) -> None:
    """`--dry-run`: on standard output, as it is the result."""
    facts = [
        f"about {number:,.0f} {unit}"
        for number, unit in (
            (plan.items, "pictures"),
            (plan.bytes and plan.bytes / 1e6, "MB"),
            (plan.requests, "requests"),
        )
        if number is not None
    ]
    print(f"{choice.entry.name}: {', '.join(facts) or 'it cannot be told how many pictures'}")
    for note in plan.notes:
        print(f"  {note}")
    if (folder / FILE).is_file():
        print(f"{folder} is begun: what lies there is not fetched again.")
    print(f"They would go to {folder}. No picture was fetched (--dry-run).")


def bring(choice: Choice, folder: Path, terms: str) -> Report:
    """Fetch, with a progress bar, and say what became of it."""
    with choice.entry.guard():
        choice.plugin.check(choice.options)
        say(f"fetching {choice.entry.name} into {folder}")
        with progress("fetching", None, "pictures") as update:

            def advance(now: Progress) -> None:
                if now.file is None:
                    more = "" if now.complete else " and more"
                    note = f"{now.stored:,} of {now.listed:,}{more}, {now.bytes / 1e6:,.0f} MB"
                else:
                    have, total = now.file
                    note = (
                        f"archive: {have / 1e6:,.0f}{f' of {total / 1e6:,.0f}' if total else ''} MB"
                    )
                update(now.done, note, now.listed if now.complete else None)

            report = fetch(
                choice.plugin,
                choice.options,
                folder,
                name=choice.entry.name,
                terms=terms,
                advance=advance,
            )
    tell(report)
    return report


def tell(report: Report) -> None:
    """Say what the folder holds, and what it lacks for which reason."""
    say(f"{report.stored:,} pictures of {report.listed:,} listed, {report.bytes / 1e6:,.1f} MB")
    for note in report.notes:
        say(f"  {note}")
    for reason, number in report.reasons.most_common(8):
        key, why = report.first[reason]
        detail = f"{key}{why.removeprefix(reason)}"
        say(f"  left out {number:,}: {reason} ({'such as ' if number > 1 else ''}{detail})")
    if report.unlabelled:
        say(f"  {report.unlabelled:,} have no label, so a set of them all will have none")
    if report.failed:
        say(f"  {report.failed:,} may come another time: run the same command again")
