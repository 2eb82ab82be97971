"""`ganctl train`: from what is asked for to a run and its pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.preparation import Preparation
from ..errors import GanctlError, UserError
from ..files import read_toml
from ..options import load
from ..training.plan import (
    DEFAULT_ARCHITECTURE,
    DEFAULT_SOURCE,
    TABLES,
    Choice,
    Plan,
    by_table,
    fetch_folder,
    local,
    override,
    resolve,
    to_fetch,
)
from ..training.settings import Settings
from .console import progress, say
from .fetch import AcceptTerms, Permission, bring, plan_of, tell_plan, terms_of
from .parse import Group, escape, first_pass, run_command, with_options
from .prepare import run_preparation, tell

if TYPE_CHECKING:
    from ..data.dataset import Dataset
    from ..training.run import Run

_DEFAULTS = {"arch": DEFAULT_ARCHITECTURE, "source": DEFAULT_SOURCE}


def run(argv: list[str]) -> int:
    named = first_pass(argv, [*TABLES, "config", "data"])
    core, tables = read_config(Path(named["config"])) if "config" in named else ({}, {})
    for table in TABLES:
        if table in named and tables.get(table, {}).get("name") != named[table]:
            tables[table] = {"name": named[table]}  # another plugin: the file's options go
    if "data" in named:
        if "source" in named:
            raise UserError("train: --data and --source: give one of them")
        tables.pop("source", None)
        tables.pop("prepare", None)
    elif "source" in named:
        core.pop("data", None)

    def train(
        given: dict[str, dict[str, Any]],
        arch: Annotated[str, typer.Option(help="Architecture.")] = DEFAULT_ARCHITECTURE,
        source: Annotated[
            str | None,
            typer.Option(help=escape(f"Where pictures come from [default: {DEFAULT_SOURCE}].")),
        ] = None,
        objective: Annotated[
            str | None, typer.Option(help="Objective, if not the architecture's own.")
        ] = None,
        augment: Annotated[str | None, typer.Option(help="Augmenter; none for none.")] = None,
        config: Annotated[
            str | None,
            typer.Option(help="Take options from a TOML file, such as a run's config.toml."),
        ] = None,
        accept_terms: AcceptTerms = "",
        permission: Permission = "",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show what would be done; train nothing.")
        ] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print the outcome as JSON on standard output.")
        ] = False,
    ) -> int:
        """Train a model. With no option: the MLP GAN on the embedded digits."""
        for table in (*TABLES, "prepare"):
            if given.get(table):
                tables[table] = {**tables.get(table, {}), **given[table]}
        if given.get("source") or given.get("prepare"):
            core.pop("data", None)  # a set from the file was made of other pictures
        values, known = _started_from(override(core, given[""]), tables)
        if dry_run:
            return show(resolve(values, known), as_json, accept_terms, permission)
        return start(values, known, as_json, accept_terms, permission)

    return run_command(with_options(train, _groups(argv, tables)), "train", argv)


def _groups(argv: list[str], tables: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """The run's own options, and those of the plugins that this command line names."""
    groups = [Group("", Settings, "Run")]
    if "data" not in first_pass(argv, ["data"]):
        groups.append(Group("prepare", Preparation, "Preparation of the pictures"))
    names: dict[str, Any] = {t: tables.get(t, {}).get("name", _DEFAULTS.get(t)) for t in TABLES}
    unnamed = [t for t in ("objective", "augment") if names[t] is None]
    if any(word.startswith((f"--{t}.", "--help")) for t in unnamed for word in argv):
        names |= {t: name for t, name in _of_recipe(tables.get("arch", {})).items() if t in unnamed}
    for table, name in names.items():
        if name is None or (table == "augment" and name == "none"):
            continue
        if table not in tables and not any(w.startswith((f"--{table}.", "--help")) for w in argv):
            continue  # nothing of it is named here
        try:
            choice = Choice.make(table, {"name": name})
        except UserError:
            if "--help" in argv:
                continue  # help is for finding out what to do
            raise
        title = f"{name} ({TABLES[table]})"
        groups.append(Group(table, choice.plugin.options_class, title))
    return groups


def _of_recipe(table: Mapping[str, Any]) -> dict[str, str | None]:
    """What the architecture's recipe names, for its flags and help panels."""
    from ..spec import ImageSpec

    try:
        choice = Choice.make("arch", {"name": table.get("name", DEFAULT_ARCHITECTURE)})
        side = choice.plugin.resolution
        with choice.entry.guard():
            recipe = choice.plugin.recipe(choice.options, ImageSpec(side, side, 3), None)
    except GanctlError:
        return {}
    return {"objective": recipe.objective, "augment": recipe.augment}


def _started_from(
    core: dict[str, Any], tables: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Both as --init-from completes them.

    The very file is named, as a run's newest may be another later; and networks are the model's,
    but for what is given.
    """
    if (path := load(Settings, core).init_from) is None:
        return core, tables
    from ..checkpoint import find_generator, read_header

    file = find_generator(Path(path))
    arch = tables.get("arch", {})
    match read_header(file).get("architecture"):  # anything else is refused later, in words
        case {"name": str(name), "options": dict(own)} if (
            arch.get("name", name).rpartition(":")[2] == name
        ):
            arch = {"name": name, **own, **arch}
    return {**core, "init_from": str(file)}, {**tables, "arch": arch}


def read_config(file: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The run's own options and the plugin tables of a TOML file."""
    return by_table(read_toml(file), str(file))


def fetch_first(
    core: Mapping[str, Any], tables: Mapping[str, Any], accepted: str, permission: str
) -> None:
    """Fetch what comes from the web and is not here yet, once all the rest is found right."""
    settings = load(Settings, core)
    if "source" not in tables or (settings.data is not None and Path(settings.data).exists()):
        return
    source = Choice.make("source", tables["source"], DEFAULT_SOURCE)
    if not to_fetch(source, again=True):
        return
    terms = terms_of(source, accepted, permission)
    plan = resolve({**core, "cond": False}, tables)  # labels are known when pictures are here
    check_model(plan)
    check_networks(plan)
    bring(source, fetch_folder(source), terms)


def start(
    core: Mapping[str, Any],
    tables: Mapping[str, Any],
    as_json: bool,
    accepted: str,
    permission: str,
) -> int:
    """Fetch and prepare the pictures if need be, create the run, train."""
    from ..training.run import Run, refuse_existing

    settings = load(Settings, core)  # looked at before the work of preparing a set
    if settings.run is not None:
        refuse_existing(Path(settings.run))
    fetch_first(core, tables, accepted, permission)
    if settings.init_from is not None:
        check_model(resolve(core, tables))
    plan, dataset = plan_and_set(core, tables)

    def create() -> Run:
        return Run.create(plan.settings.run, plan.name, plan.config())

    return train_run(plan, dataset, None, create, as_json)


def train_run(
    plan: Plan,
    dataset: Dataset,
    checkpoint: Path | None,
    open_run: Callable[[], Run],
    as_json: bool,
) -> int:
    """Train from the beginning or a checkpoint, with everything that a person sees.

    `open_run` is called when all that can be wrong beforehand has been found right.
    """
    from ..checkpoint import find_generator
    from ..hooks import Hooks
    from ..training.device import memory_errors
    from ..training.session import Session
    from .training_bar import TrainingBar

    hooks = Hooks.installed()
    with memory_errors():
        with progress("reading the set", len(dataset), "images") as advance:
            session = Session(plan, dataset, hooks, advance)
        if checkpoint is None:
            session.begin()
            if session.taken_over is not None:
                say("\n".join(session.taken_over.summary()))
        else:
            session.resume(checkpoint)
            say(f"continuing from {checkpoint}")
        with progress("looking at the set", len(dataset), "images") as advance:
            session.look_at_set(advance)
        run = open_run()
        say(f"run: {run.folder}")
        with progress("training", session.total, "images", session.images) as update:
            hooks.add("progress bar", TrainingBar(update))
            with redirect_stdout(sys.stderr):  # whatever plugins print
                picture = session.train(run)
    model = find_generator(run.folder)
    if as_json:
        print(json.dumps({"run": str(run.folder), "model": str(model), "picture": str(picture)}))
    else:
        print(f"picture: {picture}\nmodel:   {model}")
    run.close()
    return 0


def plan_and_set(core: Mapping[str, Any], tables: Mapping[str, Any]) -> tuple[Plan, Dataset]:
    """The plan and its set, made from its source if it is not there yet."""
    from ..data.dataset import Dataset

    plan = resolve(core, tables)
    if not plan.prepared:
        check_networks(plan)
        make_set(plan)
        plan = resolve(core, tables)  # the set may have other labels than its source announced
    return plan, Dataset(plan.data)


def check_networks(plan: Plan) -> None:
    """Raise `UserError` where the plugins cannot work with such images: before they are made."""
    import torch

    architecture, augment = plan.architecture, plan.augment
    with architecture.entry.guard(), torch.device("meta"):
        architecture.plugin.build(architecture.options, plan.spec)
    if augment is not None:
        with augment.entry.guard():
            augment.plugin.build(augment.options, plan.spec)


def check_model(plan: Plan) -> None:
    """Raise `UserError` if what it is to start from is no model of its architecture."""
    from ..training.transfer import find

    if plan.settings.init_from is not None:
        find(plan.settings.init_from, plan.architecture.entry.name)


def make_set(plan: Plan) -> None:
    """Prepare the plan's set from its source."""
    if plan.source is None:
        raise UserError(f"{plan.data}: no such file or folder")
    name = plan.source.entry.name
    if to_fetch(plan.source):
        raise UserError(f"the pictures of {name} are not all here: ganctl fetch --source {name}")
    say(f"preparing {name} as {plan.data}")
    report = run_preparation(local(plan.source), plan.spec, plan.data, plan.preparation)
    if report.left_out:
        tell(report, plan.spec)


def show(plan: Plan, as_json: bool, accepted: str, permission: str) -> int:
    """`--dry-run`: the resolved run, the layer tables, an estimate of the memory.

    Of pictures from the web that are not here: what it comes to, if their terms are accepted.
    """
    import tomli_w

    from ..summary import training_bytes
    from ..training.transfer import Origin, compare, freeze
    from .describe import network_tables, print_tables

    to_come = None
    if plan.source is not None and not plan.prepared and to_fetch(plan.source):
        terms_of(plan.source, accepted, permission)
        to_come = plan_of(plan.source)
    choice = plan.architecture
    tables, networks = network_tables(choice.entry, choice.plugin, choice.options, plan.spec)
    freeze(networks["discriminator"], plan.settings.freeze_d)
    report = None
    if plan.settings.init_from is not None:
        origin = Origin.read(plan.settings.init_from, choice.entry.name)
        report = compare(origin, networks["generator"], networks["discriminator"])
    assert plan.settings.micro_batch is not None
    estimate = training_bytes(
        tables, networks, plan.settings.micro_batch, bool(plan.settings.ema_kimg)
    )
    if as_json:
        document = {
            "config": plan.config(),
            "prepared": plan.prepared,
            "memory_bytes": estimate,
            "networks": {name: [vars(row) for row in rows] for name, rows in tables.items()},
        }
        if report is not None:
            document["init_from"] = report.text().splitlines()
        if to_come is not None:
            document["fetch"] = asdict(to_come)
        print(json.dumps(document, indent=2))
        return 0
    print(tomli_w.dumps(plan.config()))
    print_tables(tables, networks)
    if report is not None:
        print("\n".join(report.summary()), end="\n\n")
    if to_come is not None:
        assert plan.source is not None
        tell_plan(plan.source, to_come, fetch_folder(plan.source))
    state = "is there" if plan.prepared else "will be prepared"
    print(f"The set {state}: {plan.data}")
    print(f"Memory: about {estimate / 1e6:,.0f} MB for weights, optimisers and activations.")
    print("Nothing was trained (--dry-run).")
    return 0
