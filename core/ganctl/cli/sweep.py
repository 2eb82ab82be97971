"""`ganctl sweep`: many runs that differ in a few options, ranked by a figure."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GanctlError, Interrupted, UserError
from ..options import did_you_mean
from .console import columns, progress, say
from .parse import run_command

if TYPE_CHECKING:
    from ..sweep.results import Combination, Result
    from ..sweep.trials import Sweep, Trial


def run(argv: list[str]) -> int:
    return run_command(sweep, "sweep", argv)


def sweep(
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="What to train and what to vary, as TOML.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of the sweep, before the file's out.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Trials at a time; the cores are shared out among them.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the trials; train nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON on standard output.")
    ] = False,
) -> int:
    """Train with every combination of some options, and rank them by a figure.

    The same command goes on after Ctrl-C, a crash or kill -9, and trains what was added.
    """
    from ..sweep.trials import read_sweep

    if config is None:
        raise UserError("sweep: say what to train and what to vary: --config sweep.toml")
    changes = {k: v for k, v in {"out": out, "jobs": jobs}.items() if v is not None}
    plan = read_sweep(Path(config), changes)
    _check_evaluated(plan)
    _check_models(plan)
    if dry_run:
        return _show(plan, as_json)
    from ..sweep.folder import claimed, write_document

    with claimed(plan):
        if missing := {t.plan.data: t.plan for t in plan.trials if not t.plan.prepared}:
            _prepare(list(missing.values()))
            plan = read_sweep(Path(config), changes)  # now the sets themselves tell their labels
        _check_sizes(plan)
        write_document(plan)
        try:
            lower, results = _train(plan)
        except Interrupted as stopped:
            flags = [word for k, v in changes.items() for word in (f"--{k}", str(v))]
            again = shlex.join(["ganctl", "sweep", "--config", config, *flags])
            raise Interrupted(f"{stopped}. To continue: {again}") from None
        return _tell(plan, results, lower, as_json)


def _prepare(plans: list[Any]) -> None:
    """Make the sets before the trials, which would each make their own at the same time."""
    from .train import make_set

    for plan in plans:
        make_set(plan)


def _check_sizes(plan: Sweep) -> None:
    from ..data.dataset import Dataset
    from ..training.session import check_size

    for data, batch in {(t.plan.data, t.plan.settings.batch) for t in plan.trials}:
        assert batch is not None
        check_size(Dataset(data), batch)


def _shares(plan: Sweep, todo: list[Trial]) -> tuple[int, int]:
    """How many trials at a time, and the threads of each."""
    from ..data.parallel import cores
    from ..training.device import pick_device

    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(asked) if asked.isdecimal() and int(asked) else cores()
    kinds = {pick_device(trial.plan.settings.device).type for trial in todo}
    default = threads if kinds == {"cpu"} else 1  # a GPU is not shared unasked
    jobs = min(plan.settings.jobs or default, len(todo))
    return jobs, max(1, threads // jobs)


def _train(plan: Sweep) -> tuple[bool, list[Result]]:
    """Train what is not done; whether lower figures are better, and all results."""
    from ..sweep.folder import write_results
    from ..sweep.results import ENDED, lower_is_better, result_of
    from ..sweep.runner import train_trials

    lower = lower_is_better(plan, warn=True)
    why: dict[Trial, str] = {}
    results = {trial: result_of(plan, trial, lower, warn=True) for trial in plan.trials}
    todo = [trial for trial, result in results.items() if result.state not in ENDED]
    over = {trial for trial in plan.trials if trial not in todo}
    sizes: dict[Trial, list[int]] = {}

    def read(trial: Trial) -> Result:
        results[trial] = result_of(plan, trial, lower, why.get(trial, ""))
        return results[trial]

    def advance() -> None:
        seen = (t.total if t in over else min(r.images, t.total) for t, r in results.items())
        update(sum(seen), f"{len(over)} of {len(results)} trials")

    def look(running: list[Trial]) -> list[Trial]:
        """Which of them have run out of patience."""
        stale = []
        for trial in running:
            files = [trial.folder / name for name in ("log.jsonl", "metrics.jsonl")]
            now = [file.stat().st_size if file.exists() else 0 for file in files]
            if now != sizes.get(trial):
                sizes[trial] = now
                if read(trial).state == "stopped early":
                    stale.append(trial)
        advance()
        return stale

    def ended(trial: Trial, reason: str) -> None:
        nonlocal lower
        if (now := lower_is_better(plan)) != lower:  # the first best.json has come
            lower = now
            for each in results:
                read(each)
        why[trial] = reason
        over.add(trial)
        advance()
        say(f"{len(over)} of {len(results)}: {_line(plan, read(trial))}")
        write_results(plan, list(results.values()), lower)
        _check_metric(plan, results.values())

    _check_metric(plan, results.values())
    write_results(plan, list(results.values()), lower)
    if todo:
        jobs, threads = _shares(plan, todo)
        trials, each = _count(len(todo), "trial"), _count(threads, "thread")
        say(f"{trials}, {jobs} at a time, {each} each: {plan.out}")
        done = sum(trial.total for trial in over)
        with progress("training", sum(t.total for t in results), "images", done) as update:
            try:
                train_trials(todo, jobs, threads, look, ended)
            except Interrupted:
                for trial in todo:
                    read(trial)
                write_results(plan, list(results.values()), lower)
                counted = sum(result.state in ENDED for result in results.values())
                raise Interrupted(
                    f"stopped; {counted} of {len(results)} trials are done, "
                    "the others keep what they have"
                ) from None
    return lower, list(results.values())


def _check_evaluated(plan: Sweep) -> None:
    """Raise `UserError` if an evaluator's figure is to rank trials that do not ask for it."""
    from ..registry import entries

    name = plan.settings.metric
    if name not in {entry.name for entry in entries("evaluator")}:
        return
    for trial in plan.trials:
        request = trial.plan.evaluation
        if request is None or name not in request.names:
            raise UserError(
                f"metric: {name} is an evaluator's figure, which the trials have to ask for: "
                f'evaluate = "{name}:every=10kimg" in [train]'
            )


def _check_models(plan: Sweep) -> None:
    """Raise `UserError` if a trial that has not begun cannot start from its model."""
    from .train import check_model

    for trial in plan.trials:
        if not (trial.folder / "config.toml").exists():
            check_model(trial.plan)


def _check_metric(plan: Sweep, results: Iterable[Result]) -> None:
    """Raise `UserError` if trials have ended and none of them has the figure."""
    from ..sweep.results import ENDED

    name = plan.settings.metric
    ended = [result.names for result in results if result.state in ENDED]
    if ended and not any(name in names for names in ended):
        raise UserError(
            f"metric: the runs of this sweep have no figure {name!r}"
            f"{did_you_mean(name, ended[0])} (what is trained is kept)"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _line(plan: Sweep, result: Result) -> str:
    text = f"{result.trial.name}: {result.state}"
    if result.why and result.state == "failed":
        return f"{text}: {result.why}"
    if result.figure is None:
        return text
    images, value = result.figure
    return f"{text}, {plan.settings.metric} {value:.5g} at {images / 1000:g} kimg"


def _show(plan: Sweep, as_json: bool) -> int:
    """`--dry-run`: the trials."""
    from ..sweep.trials import label

    names = [axis.name for axis in plan.axes]
    if as_json:
        trials = [
            {
                "options": dict(zip(names, trial.values, strict=True)),
                "seed": trial.seed,
                "run": str(trial.folder),
            }
            for trial in plan.trials
        ]
        print(json.dumps({"out": str(plan.out), "trials": trials}, indent=2))
        return 0
    rows = [[*map(label, trial.values), str(trial.seed)] for trial in plan.trials]
    print(columns([[*names, "seed"], *rows]))
    kimg = sum(trial.total for trial in plan.trials) / 1000
    count = _count(len(plan.trials), "trial")
    print(
        f"\n{count}, {kimg:g} kimg in all, ranked by {plan.settings.metric}, "
        f"in {plan.out}\nNothing was trained (--dry-run)."
    )
    return 0


def _tell(plan: Sweep, results: list[Result], lower: bool, as_json: bool) -> int:
    """Print the outcome; an error if no trial has ended as it should."""
    from ..sweep.results import combinations

    ranked = combinations(results, lower)
    if as_json:
        print(json.dumps(_document(plan, ranked, lower), indent=2))
    else:
        print(_table(plan, ranked))
        for result in results:
            if result.state == "failed":
                print(_line(plan, result))
        for line in edges(plan, ranked[0]):
            print(line)
        print(f"\nresults: {plan.out / 'results.csv'}\npicture: {plan.out / 'sweep.png'}")
    if not any(combination.ended for combination in ranked):
        raise GanctlError(f"no trial was trained to its end: see {plan.out / 'results.csv'}")
    return 0


def _table(plan: Sweep, ranked: list[Combination]) -> str:
    from ..sweep.trials import label

    several = len(plan.settings.seeds) > 1
    metric = plan.settings.metric + (" (mean)" if several else "")
    lines = [["", *(axis.name for axis in plan.axes), metric, "from – to", "at kimg", "trials"]]
    for combination in ranked:
        values, kimg = combination.figures, combination.kimg
        lines.append(
            [
                "best" if combination is ranked[0] and values else "",
                *map(label, combination.values),
                f"{combination.mean:.5g}" if values else "-",
                f"{min(values):.5g} – {max(values):.5g}" if len(values) > 1 else "",
                " – ".join(f"{k:g}" for k in dict.fromkeys((min(kimg), max(kimg)))) if kimg else "",
                ", ".join(f"{n} {state}" for state, n in combination.states.items()),
            ]
        )
    return columns(lines)


def edges(plan: Sweep, best: Combination) -> Iterator[str]:
    """Of which numbers the best is the last one tried, so that a better one may lie beyond."""
    for axis, value in zip(plan.axes, best.values, strict=True):
        if best.figures and axis.numeric and len(axis.values) >= 3:
            if value == max(axis.values):
                yield f"the best {axis.name} is the largest tried: {value:g}"
            elif value == min(axis.values):
                yield f"the best {axis.name} is the smallest tried: {value:g}"


def _document(plan: Sweep, ranked: list[Combination], lower: bool) -> dict[str, Any]:
    names = [axis.name for axis in plan.axes]

    def trial(result: Result) -> dict[str, Any]:
        return {
            "seed": result.trial.seed,
            "state": result.state,
            "figure": result.figure[1] if result.figure else None,
            "at_kimg": result.figure[0] / 1000 if result.figure else None,
            "kimg": result.images / 1000,
            "run": str(result.trial.folder),
            "why": result.why,
        }

    return {
        "out": str(plan.out),
        "metric": plan.settings.metric,
        "better": "lower" if lower else "higher",
        "combinations": [
            {
                "options": dict(zip(names, each.values, strict=True)),
                "mean": each.mean if each.figures else None,
                "min": min(each.figures, default=None),
                "max": max(each.figures, default=None),
                "trials": [trial(result) for result in each.results],
            }
            for each in ranked
        ],
    }
