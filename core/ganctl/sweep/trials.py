"""From a sweep.toml to its trials, each with every option decided."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from ..errors import UserError
from ..files import read_toml
from ..options import Opt, describe, did_you_mean, load
from ..training.plan import TABLES, Plan, by_table, override, resolve


@dataclass(frozen=True)
class SweepSettings:
    """What sweep.toml says of the sweep itself."""

    out: Annotated[str, Opt("Folder of the sweep.")] = ""
    seeds: Annotated[
        tuple[int, ...], Opt("Seeds that every combination is trained with.", ge=0)
    ] = (0,)
    jobs: Annotated[int | None, Opt("How many trials at a time.", ge=1)] = None
    metric: Annotated[str, Opt("The figure that ranks.")] = ""
    better: Annotated[
        Literal["lower", "higher"] | None, Opt("Which values of the figure are better.")
    ] = None
    patience: Annotated[
        int | None, Opt("Stop a trial after so many evaluations without a better figure.", ge=1)
    ] = None


@dataclass(frozen=True)
class Axis:
    """One varied option: its name as config.toml has it, its values, how they are spaced."""

    name: str
    values: tuple[Any, ...]
    log: bool

    @property
    def numeric(self) -> bool:
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)


@dataclass(frozen=True, eq=False)
class Trial:
    """One training run of a sweep: a value for every axis, and a seed."""

    values: tuple[Any, ...]
    seed: int
    plan: Plan
    name: str
    folder: Path
    """The run folder. Beside it lie NAME.toml, what it is trained with, and NAME.log."""

    @property
    def config_file(self) -> Path:
        return self.folder.with_name(f"{self.name}.toml")

    @property
    def log_file(self) -> Path:
        return self.folder.with_name(f"{self.name}.log")

    @property
    def total(self) -> int:
        """Its length in images."""
        assert self.plan.settings.kimg is not None
        return round(self.plan.settings.kimg * 1000)

    def config(self) -> dict[str, Any]:
        return self.plan.config() | {"seed": self.seed}


@dataclass(frozen=True)
class Sweep:
    """A sweep.toml, read and found right."""

    out: Path
    settings: SweepSettings
    train: dict[str, Any]
    axes: tuple[Axis, ...]
    trials: tuple[Trial, ...]

    def document(self) -> dict[str, Any]:
        """As the sweep's folder keeps it: a sweep.toml in which nothing is left to a default."""
        settings = {k: v for k, v in vars(self.settings).items() if v not in (None, ())}
        return {
            **settings,
            "out": str(self.out),
            "seeds": list(self.settings.seeds),
            "train": self.train,
            "grid": {axis.name: list(axis.values) for axis in self.axes},
        }


def read_sweep(file: Path, changes: Mapping[str, Any]) -> Sweep:
    """Read and check all of it; `changes` go before what the file says of the sweep itself.

    Raises `UserError` for what `ganctl train` would refuse in any of the trials.
    """
    document = {key.replace("-", "_"): value for key, value in read_toml(file).items()}
    tables = {key: document.pop(key, {}) for key in ("train", "grid", "log_uniform")}
    for key, table in tables.items():
        if not isinstance(table, dict):
            raise UserError(f"{file}: {_shown(key)}: wanted a table [{_shown(key)}]")
    known = [info.name for info in describe(SweepSettings)]
    for key in document:
        if key not in known:
            hint = did_you_mean(key, [*known, *map(_shown, tables)])
            raise UserError(f"{file}: {key}: no such key{hint}")
    document["seeds"] = _seeds(document.get("seeds", 1), file)
    try:
        settings = load(SweepSettings, document | dict(changes))
    except UserError as error:
        raise _at(file, error) from None
    if not settings.metric:
        raise UserError(f'{file}: metric: name the figure that ranks, such as metric = "loss/G"')
    axes = (*_grid(tables["grid"], file), *_log_uniform(tables["log_uniform"], file))
    _check_axes(axes, tables["train"], file)
    out = Path(settings.out or f"sweeps/{file.stem}")
    trials = tuple(_trials(axes, tables["train"], settings.seeds, out / "trials", file))
    return Sweep(out, settings, tables["train"], axes, trials)


def label(value: Any) -> str:
    """A value as tables and names show it."""
    if isinstance(value, list | tuple):
        return "-".join(map(label, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(key: str) -> str:
    return key.replace("_", "-")


def _at(file: Path, error: UserError, where: str = "") -> UserError:
    return UserError("\n".join(f"{file}: {line}{where}" for line in str(error).splitlines()))


def _seeds(value: Any, file: Path) -> Any:
    """`3` → [0, 1, 2]; a list as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 10_000:
            raise UserError(f"{file}: seeds: {value} is not a number of seeds from 1 to 10000")
        return list(range(value))
    if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
        raise UserError(f"{file}: seeds: wanted how many, or a list of different seeds")
    return value


def _flat(table: Mapping[str, Any], *, of_tables: bool = False) -> Iterator[tuple[str, Any]]:
    """Names and values, `arch.g-widths` meaning the same with and without quotation marks.

    `of_tables`: the values are tables themselves.
    """
    for key, value in table.items():
        name = key.replace("-", "_").removesuffix(".name")  # the name of a plugin: `arch = …`
        if isinstance(value, dict) and (
            not of_tables or any(isinstance(inner, dict) for inner in value.values())
        ):
            for inner, deeper in _flat(value, of_tables=of_tables):
                yield f"{name}.{inner}".removesuffix(".name"), deeper
        else:
            yield name, value


def _grid(table: Mapping[str, Any], file: Path) -> Iterator[Axis]:
    for name, values in _flat(table):
        if not isinstance(values, list) or not values:
            raise UserError(f"{file}: [grid] {name}: wanted a list of values")
        if len({label(value) for value in values}) < len(values):
            raise UserError(f"{file}: [grid] {name}: a value stands there twice")
        axis = Axis(name, tuple(values), False)
        positive = axis.numeric and min(values) > 0
        yield Axis(name, axis.values, positive and max(values) >= 10 * min(values))


def _log_uniform(table: Mapping[str, Any], file: Path) -> Iterator[Axis]:
    for name, bounds in _flat(table, of_tables=True):
        where = f"{file}: [log-uniform] {name}"
        if not isinstance(bounds, dict) or set(bounds) != {"low", "high", "n"}:
            raise UserError(f"{where}: wanted {{low = 1e-5, high = 1e-2, n = 4}}")
        low, high, count = bounds["low"], bounds["high"], bounds["n"]
        if not (_is(low, int, float) and _is(high, int, float) and 0 < low < high < math.inf):
            raise UserError(f"{where}: low and high must be numbers with 0 < low < high")
        if not _is(count, int) or not 2 <= count <= 10_000:
            raise UserError(f"{where}: n must be a whole number from 2 to 10000")
        points = tuple(_points(low, high, count))
        if len(set(points)) < count:
            raise UserError(f"{where}: there are no {count} different values that far apart")
        yield Axis(name, points, True)


def _points(low: float, high: float, count: int) -> Iterator[float]:
    """Evenly spaced in the logarithm, to three digits; whole numbers between whole numbers."""
    for index in range(count):
        value = low * (high / low) ** (index / (count - 1))
        if isinstance(low, int) and isinstance(high, int):
            yield round(value)
        else:
            yield (low, high)[index > 0] if index in (0, count - 1) else float(f"{value:.3g}")


def _is(value: Any, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _check_axes(axes: tuple[Axis, ...], train: Mapping[str, Any], file: Path) -> None:
    if not axes:
        raise UserError(f"{file}: nothing is varied: name options in [grid] or [log-uniform]")
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{file}: {name}: stands there twice")
    for name in ("seed", "run"):
        if name in (*names, *train):
            raise UserError(
                f"{file}: {name}: the sweep sets it; use {'seeds' if name == 'seed' else 'out'}"
            )
    if math.prod(len(axis.values) for axis in axes) > 10_000:
        raise UserError(f"{file}: more than 10000 combinations")


def _trials(
    axes: tuple[Axis, ...],
    train: Mapping[str, Any],
    seeds: tuple[int, ...],
    folder: Path,
    file: Path,
) -> Iterator[Trial]:
    for values in itertools.product(*(axis.values for axis in axes)):
        words = [f"{axis.name}={label(v)}" for axis, v in zip(axes, values, strict=True)]
        core, tables = by_table(train, f"{file}: [train]")
        given: dict[str, Any] = {}
        if any(axis.name.startswith(("source", "prepare.")) for axis in axes):
            core.pop("data", None)  # a set of other pictures
        try:
            # Plugins before their options: another plugin drops the options of the one before.
            for axis, value in sorted(
                zip(axes, values, strict=True), key=lambda pair: "." in pair[0].name
            ):
                _set(axis.name, value, given, tables)
            plan = resolve(override(core, given), tables)
        except UserError as error:
            raise _at(file, error, f" (trial {','.join(words)})") from None
        for seed in seeds:
            name = _file_name(",".join([*words, f"seed={seed}"]))
            yield Trial(values, seed, plan, name, folder / name)


def _set(name: str, value: Any, core: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
    """Give one option its value, as the flag of that name would."""
    table, dot, option = name.partition(".")
    if table in TABLES and not dot:
        if not isinstance(value, str):
            raise UserError(f"{table}: {value!r} is not the name of a plugin")
        if tables.get(table, {}).get("name") != value:
            tables[table] = {"name": value}  # another plugin: the other's options go
    elif not dot:
        core[name] = value
    elif table in (*TABLES, "prepare"):
        there = {k.replace("-", "_"): v for k, v in tables.get(table, {}).items()}
        tables[table] = there | {option: value}
    else:
        raise UserError(f"{name}: no such option{did_you_mean(table, [*TABLES, 'prepare'])}")


def _file_name(text: str) -> str:
    """The text as a folder may be called anywhere; texts that differ stay different."""
    plain = re.sub(r"[^\w.,=+-]", "_", text, flags=re.ASCII)
    if plain == text and len(text) <= 100:
        return text
    return f"{plain[:90]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
