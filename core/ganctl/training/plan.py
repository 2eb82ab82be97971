"""From what the user asked for to a run with every value decided; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data.dataset import Dataset
from ..data.preparation import Preparation
from ..data.prepare import prepared_path
from ..errors import UserError
from ..fetch.fetched import Fetched, FetchedOptions, is_complete
from ..fetch.folder import folder_name
from ..fetch.source import WebSource
from ..options import describe, did_you_mean, dump, load
from ..plugin import Architecture, Recipe, Source
from ..registry import Entry, entries, find
from ..spec import ImageSpec, parse_resolution
from .evaluate import Request
from .schedule import parse_schedule
from .settings import Settings

TABLES = {
    "arch": "architecture",
    "objective": "objective",
    "augment": "augmenter",
    "source": "source",
}
"""Option tables, in flags (`--arch.x`) and config files (`[arch]`), and their plugin kinds."""

KIND_OF = {**TABLES, "evaluate": "evaluator"}

DEFAULT_ARCHITECTURE, DEFAULT_SOURCE = "mlp", "digits"
PREPARED = Path("datasets")
"""Where sets prepared from a source are kept, and what was fetched for them, beside `runs`."""


@dataclass(frozen=True)
class Choice:
    """A plugin and its options."""

    entry: Entry
    plugin: Any
    options: Any

    @classmethod
    def make(cls, table: str, values: Mapping[str, Any], default: str | None = None) -> Choice:
        """From `{"name": …, option: …}`; raises `UserError` for unknown names and options."""
        options = dict(values)
        entry = find(KIND_OF[table], options.pop("name", default))
        plugin = entry.load()
        return cls(entry, plugin, load(plugin.options_class, options, table))

    def config(self) -> dict[str, Any]:
        values = {k: "none" if v is None else v for k, v in dump(self.options).items()}
        return {"name": self.entry.reference, **values}


def fetch_folder(source: Choice) -> Path:
    """Where the pictures of a source on the web are fetched to, if the user names no place."""
    with source.entry.guard():
        identity = source.plugin.identity(source.options)
    return PREPARED / folder_name(source.entry.name, identity)


def to_fetch(source: Choice | None, *, again: bool = False) -> bool:
    """Whether its pictures come from the web and are not all here; `again`: or some failed."""
    if source is None or not isinstance(source.plugin, WebSource):
        return False
    with source.entry.guard():
        edition = source.plugin.edition(source.options)
    return not is_complete(fetch_folder(source), edition, nothing_failed=again)


def local(source: Choice) -> Choice:
    """The source as preparation reads it: of the web, that is what was fetched."""
    if not isinstance(source.plugin, WebSource):
        return source
    return Choice(source.entry, Fetched(), FetchedOptions(str(fetch_folder(source))))


@dataclass(frozen=True)
class Plan:
    """A run, resolved: nothing is left to a default."""

    settings: Settings
    architecture: Choice
    objective: Choice
    augment: Choice | None
    evaluation: Request | None
    evaluators: tuple[Choice, ...]
    source: Choice | None
    preparation: Preparation | None
    data: Path
    spec: ImageSpec
    recipe: Recipe

    @property
    def name(self) -> str:
        """`mlp-digits`: the end of the run folder's name."""
        data = self.source.entry.name if self.source else self.data.stem
        return f"{self.architecture.entry.name}-{data}"

    @property
    def prepared(self) -> bool:
        """Whether the set is there already."""
        return self.data.exists()

    def config(self) -> dict[str, Any]:
        """As config.toml holds it; `resolve` makes the same plan of it."""
        values = {k: v for k, v in dump(replace(self.settings, run=None)).items() if v is not None}
        values["data"] = str(self.data.resolve())
        if self.settings.init_from is not None:
            values["init_from"] = str(Path(self.settings.init_from).absolute())
        for table in ("architecture", "objective", "augment", "source"):
            choice: Choice | None = getattr(self, table)
            if choice is not None:
                values["arch" if table == "architecture" else table] = choice.config()
        if self.preparation is not None:
            values["prepare"] = {k: v for k, v in dump(self.preparation).items() if v is not None}
        if self.augment is None:
            values["augment"] = {"name": "none"}  # the recipe may name one
        return values


def by_table(
    document: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The run's own options and the plugin tables of what config.toml may hold."""
    core, tables = {}, {}
    for key, value in document.items():
        if key == "prepare" and isinstance(value, dict):
            tables[key] = dict(value)
        elif key in TABLES:
            table = {"name": value} if isinstance(value, str) else value
            if not isinstance(table, dict) or not isinstance(table.get("name", ""), str):
                raise UserError(
                    f"{where}: {key}: wanted a plugin's name, or a table [{key}] with it"
                )
            tables[key] = dict(table)
        elif isinstance(value, dict):
            raise UserError(
                f"{where}: [{key}]: no such table{did_you_mean(key, [*TABLES, 'prepare'])}"
            )
        else:
            core[key] = value
    return core, tables


def override(core: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`core`, over it what is given; `-` and `_` in names are the same.

    What is given for both players goes before what `core` says of each.
    """
    values, given = ({k.replace("-", "_"): v for k, v in t.items()} for t in (core, given))
    for name in ("lr", "betas", "lr_schedule"):
        if name in given:
            values.pop(f"g_{name}", None)
            values.pop(f"d_{name}", None)
    return values | given


def resolve(core: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> Plan:
    """Decide everything. `core` are the run's own options, `tables` those of the plugins and
    of the preparation."""
    settings = load(Settings, core)
    if settings.freeze_d and settings.init_from is None:
        raise UserError(
            "freeze_d: goes with --init-from: without a trained model there is nothing to keep"
        )
    architecture = Choice.make("arch", tables.get("arch", {}), DEFAULT_ARCHITECTURE)
    source = None
    if settings.data is None or "source" in tables:
        source = Choice.make("source", tables.get("source", {}), DEFAULT_SOURCE)
    preparation = None
    if source is not None:
        how = load(Preparation, tables.get("prepare", {}), "prepare")
        with source.entry.guard():
            preparation = how.decided(source.plugin, source.options)
    elif tables.get("prepare"):
        raise UserError("prepare: --data is prepared already; these options go with --source")
    spec, data = _spec(settings, architecture.plugin, source, preparation)
    with architecture.entry.guard():
        recipe = architecture.plugin.recipe(architecture.options, spec, settings.batch)
        if not isinstance(recipe, Recipe):
            raise TypeError(f"its recipe is a {type(recipe).__name__}, not a Recipe")
        if settings.init_from is not None:
            recipe = replace(recipe, **recipe.transfer)
    settings = _decide(settings, recipe)
    request = Request.parse(settings.evaluate) if settings.evaluate else None
    objective = _objective(recipe, tables)
    with objective.entry.guard():
        objective.plugin.check(objective.options, spec)
    return Plan(
        settings=settings,
        architecture=architecture,
        objective=objective,
        augment=_augment(recipe, tables),
        evaluation=request,
        evaluators=() if request is None else choose_evaluators(request.names, request.options),
        source=source,
        preparation=preparation,
        data=data,
        spec=spec,
        recipe=recipe,
    )


def choose_evaluators(
    names: Sequence[str], options: Mapping[str, Any], where: str = "evaluate"
) -> tuple[Choice, ...]:
    """Evaluators by name or initials (`pr` for precision-recall); an option goes to all that
    have it. Raises `UserError`."""
    found = [find("evaluator", _full_name(name)) for name in names]
    if len(set(found)) < len(found):
        raise UserError(f"{where}: {','.join(names)}: name each evaluator once")
    known = {e: [o.name for o in describe(e.load().options_class)] for e in found}
    for option in options:
        if not any(option in theirs for theirs in known.values()):
            hint = did_you_mean(option, {name for theirs in known.values() for name in theirs})
            raise UserError(f"{where}.{option}: no such option of {', '.join(names)}{hint}")
    return tuple(
        Choice.make(
            "evaluate",
            {"name": entry.reference, **{k: v for k, v in options.items() if k in known[entry]}},
        )
        for entry in found
    )


def _full_name(name: str) -> str:
    """What initials stand for, where no evaluator is called so and one alone has them."""
    names = {entry.name for entry in entries("evaluator")}
    meant = [n for n in names if "-" in n and "".join(part[0] for part in n.split("-")) == name]
    return meant[0] if name not in names and len(meant) == 1 else name


def _spec(
    settings: Settings,
    architecture: Architecture[Any],
    source: Choice | None,
    preparation: Preparation | None,
) -> tuple[ImageSpec, Path]:
    size = parse_resolution(settings.resolution) if settings.resolution else None
    if settings.data is not None and (source is None or Path(settings.data).exists()):
        spec, path = Dataset(settings.data).spec, Path(settings.data)
        if size not in (None, (spec.height, spec.width)):
            raise UserError(
                f"resolution: {path} holds {spec.height}x{spec.width} images, not "
                f"{settings.resolution}; prepare it anew with --source"
            )
    else:
        assert source is not None
        assert preparation is not None
        here = local(source)
        plugin: Source[Any] = here.plugin
        with source.entry.guard():
            if here is source:
                plugin.check(source.options)
            if size is None:
                own = plugin.resolution(here.options)
                size = parse_resolution(own) if own else (architecture.resolution,) * 2
            spec = ImageSpec(*size, preparation.channel_count)
            path = (
                Path(settings.data)
                if settings.data is not None
                else prepared_path(
                    PREPARED, source.entry.name, plugin, here.options, spec, preparation
                )
            )
        if path.exists():
            spec = Dataset(path).spec  # only the set itself knows which labels were kept
        elif settings.cond:
            if to_fetch(source):
                raise UserError(
                    f"cond: the labels of {source.entry.name} are known when its pictures are "
                    "here: ganctl fetch"
                )
            with source.entry.guard():
                spec = replace(spec, classes=_count_classes(here, preparation))
    if settings.cond and not spec.classes:
        raise UserError(f"cond: {path if source is None else source.entry.name} has no labels")
    return (spec if settings.cond else replace(spec, classes=0, class_names=())), path


def _count_classes(source: Choice, preparation: Preparation) -> int:
    """As far as it can be told before anything is decoded."""
    if preparation.discs == "label":
        return 2
    return len({item.label for item in source.plugin.items(source.options)} - {None})


def _decide(asked: Settings, recipe: Recipe) -> Settings:
    """Fill every None from the recipe."""

    def first(*values: Any) -> Any:
        return next((value for value in values if value is not None), None)

    kimg, batch = first(asked.kimg, recipe.kimg), first(asked.batch, recipe.batch)
    if round(kimg * 1000) < 1:
        raise UserError(f"kimg: {kimg:g} is less than one image (a kimg is 1,000)")
    micro_batch = min(first(asked.micro_batch, batch), batch)
    schedule = first(asked.lr_schedule, recipe.lr_schedule)
    decided = replace(
        asked,
        kimg=kimg,
        batch=batch,
        micro_batch=micro_batch,
        lr=None,
        g_lr=first(asked.g_lr, asked.lr, recipe.lr),
        d_lr=first(asked.d_lr, asked.lr, recipe.d_lr, recipe.lr),
        betas=None,
        g_betas=first(asked.g_betas, asked.betas, recipe.betas),
        d_betas=first(asked.d_betas, asked.betas, recipe.d_betas, recipe.betas),
        lr_schedule=None,
        g_lr_schedule=first(asked.g_lr_schedule, schedule),
        d_lr_schedule=first(asked.d_lr_schedule, schedule),
        eps=first(asked.eps, recipe.eps),
        ema_kimg=first(asked.ema_kimg, recipe.ema_kimg, 0.0),
        ema_rampup=first(asked.ema_rampup, recipe.ema_rampup, 0.0),
        nonfinite=first(asked.nonfinite, recipe.nonfinite),
        log_every=first(asked.log_every, min(kimg / 200, 4.0)),
        sample_every=first(asked.sample_every, min(max(kimg / 20, 1.0), 200.0)),
        checkpoint_every=first(asked.checkpoint_every, min(max(kimg / 10, 5.0), 200.0)),
    )
    parse_schedule(decided.g_lr_schedule or "", "g_lr_schedule")
    parse_schedule(decided.d_lr_schedule or "", "d_lr_schedule")
    return decided


def _objective(recipe: Recipe, tables: Mapping[str, Mapping[str, Any]]) -> Choice:
    values = tables.get("objective", {})
    return _with_defaults("objective", values, recipe.objective, recipe.objective_options)


def _augment(recipe: Recipe, tables: Mapping[str, Mapping[str, Any]]) -> Choice | None:
    values = tables.get("augment", {})
    name = values.get("name", recipe.augment)
    if name is None or name == "none":
        if len(values) > 1 or (values and "name" not in values):
            raise UserError("augment: options without an augmenter; name one with --augment")
        return None
    return _with_defaults("augment", values, recipe.augment, recipe.augment_options)


def _with_defaults(
    table: str, values: Mapping[str, Any], own: str | None, defaults: Mapping[str, Any]
) -> Choice:
    """The plugin that `values` name, or the recipe's own, for which the recipe has defaults."""
    if own is not None and defaults:
        kind = KIND_OF[table]
        if find(kind, own) == find(kind, values.get("name", own)):
            values = {**defaults, **values}
    return Choice.make(table, values, own)
