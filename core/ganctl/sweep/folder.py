"""A sweep's folder: sweep.toml, trials/, results.csv, sweep.png."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock, Timeout

from ..errors import GanctlError, UserError
from ..files import read_toml, write_atomically
from .picture import draw
from .results import Result, as_csv, combinations
from .trials import Sweep

FILE = "sweep.toml"


@contextmanager
def claimed(sweep: Sweep) -> Iterator[None]:
    """Within: the folder is there, fits the sweep, and no other process works in it."""
    out = sweep.out
    _refuse_others(out)
    try:
        (out / "trials").mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(f"{out}: another process works on this sweep") from None
    except ValueError:  # such as a zero byte
        raise UserError(f"out: {str(out)!r} cannot be the name of a folder") from None
    except OSError as error:
        raise GanctlError(f"cannot write in {out}: {error.strerror}") from None
    try:
        check(sweep)
        for litter in (out / "trials").glob(".new-*"):  # of a run killed while it was created
            shutil.rmtree(litter, ignore_errors=True)
        yield
    finally:
        lock.release()


def check(sweep: Sweep) -> None:
    """Raise `UserError` if the folder holds trials that are not trials of this sweep.

    More trials may come; what has been trained stays comparable.
    """
    out, wanted = sweep.out, {trial.name: trial for trial in sweep.trials}
    for file in sorted((out / "trials").glob("*.toml")):
        trial = wanted.get(file.stem)
        if trial is None:
            raise UserError(
                f"{out}: holds the trial {file.stem}, which is not one of this sweep: "
                "values and seeds may be added, not taken away; else choose another --out"
            )
        now = tomllib.loads(tomli_w.dumps(trial.config()))
        _refuse_difference(out, _flat(read_toml(file)), _flat(now))
    if (out / FILE).exists():
        before, now = read_toml(out / FILE), sweep.document()
        names = ("patience", "metric", "better") if "patience" in (*before, *now) else ()
        _refuse_difference(out, *({n: d.get(n) for n in names} for d in (before, now)))


def write_document(sweep: Sweep) -> None:
    write_atomically(sweep.out / FILE, tomli_w.dumps(sweep.document()).encode())


def write_results(sweep: Sweep, results: list[Result], lower: bool) -> None:
    """results.csv, and sweep.png once there is a figure, each whole."""
    write_atomically(sweep.out / "results.csv", as_csv(sweep, results))
    if any(result.curve for result in results):
        picture = draw(sweep, combinations(results, lower), lower)
        write_atomically(sweep.out / "sweep.png", picture)


def _refuse_others(out: Path) -> None:
    there = [p for p in out.iterdir() if p.name[0] != "."] if out.is_dir() else []
    strange = [p for p in there if p.name not in (FILE, "trials", "results.csv", "sweep.png")]
    if (out.exists() and not out.is_dir()) or (strange and not (out / FILE).exists()):
        raise UserError(f"{out}: exists already and is no sweep; choose another --out")


def _refuse_difference(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in (*before, *now):
        old, new = before.get(name), now.get(name)
        if old != new:
            raise UserError(
                f"{out}: {name} is {_text(new)} now, but the trials there have {_text(old)}: "
                "only values and seeds may be added; else choose another --out"
            )


def _text(value: Any) -> str:
    return "not given" if value is None else repr(value)


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
