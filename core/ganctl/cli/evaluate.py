"""`ganctl evaluate`: how near a model's images, or any pictures, are to a set's."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GanctlError, UserError
from ..options import describe
from ..training.plan import Choice, choose_evaluators
from .console import progress, say
from .lists import parse_seeds
from .parse import Group, first_pass, run_command, with_options

if TYPE_CHECKING:
    from ..evaluation import Measurement
    from .evaluation_report import Report

DEFAULT_METRICS = "fid"
OWN = frozenset(
    ("subject", "data", "metrics", "samples", "seeds", "which", "out", "device", "as_json", "json")
)
"""Names of the command's own options, which evaluators' cannot have."""


def run(argv: list[str]) -> int:
    names = split_names(first_pass(argv, ["metrics"]).get("metrics", DEFAULT_METRICS))

    def evaluate(
        given: dict[str, dict[str, Any]],
        subject: Annotated[
            str,
            typer.Argument(
                metavar="MODEL|FOLDER|ZIP",
                help="A generator.safetensors or a run folder; or pictures, in any sizes.",
            ),
        ],
        data: Annotated[
            str | None,
            typer.Option(
                metavar="SET|NPZ",
                help="Pictures to hold them against, or statistics as pytorch-fid writes them.",
            ),
        ] = None,
        metrics: Annotated[
            str, typer.Option(help="Evaluators, as fid,kid; initials do: pr.")
        ] = DEFAULT_METRICS,
        samples: Annotated[
            int | None,
            typer.Option(
                help="Images of what is evaluated; by default all pictures, or as many generated "
                "as the set has, up to 10,000.",
                min=2,
            ),
        ] = None,
        seeds: Annotated[
            str, typer.Option(help="Of the generated images; several (0-3) tell the spread.")
        ] = "0",
        which: Annotated[
            str, typer.Option(help="Of a run: newest, best, a checkpoint's name, or all.")
        ] = "newest",
        out: Annotated[
            str, typer.Option(metavar="DIR", help="Folder for pictures and plots.")
        ] = "evaluation",
        statistics_file: Annotated[
            str | None,
            typer.Option(
                "--save-statistics",
                metavar="FILE.npz",
                help="Also write the set's statistics, for pytorch-fid and for --data.",
            ),
        ] = None,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
        as_json: Annotated[
            bool, typer.Option("--json", help="Print the result as JSON on standard output.")
        ] = False,
    ) -> int:
        """Measure a model's images, or pictures, against a set's."""
        choices = choose_evaluators(names, given[""], "")
        report = measure(
            choices, subject, data, samples, parse_seeds(seeds), which, device, statistics_file
        )
        try:
            report.save(Path(out))
        except GanctlError as error:  # the figures may have taken hours
            report.notes.append(f"no pictures: {error}")
        for note in report.notes:
            say(f"ganctl: warning: {note}")
        print(json.dumps(report.document(), indent=2) if as_json else report.text())
        return 0

    return run_command(with_options(evaluate, groups(names)), "evaluate", argv)


def split_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("metrics: name an evaluator, such as fid")
    return names


def groups(names: Sequence[str]) -> list[Group]:
    """The options of all evaluators named, each once: `--extractor` goes to all that have it."""
    fields: dict[str, Any] = {}
    for choice in choose_evaluators(names, {}):
        for info in describe(choice.plugin.options_class):
            if info.name in OWN:
                raise UserError(
                    f"{choice.entry.label}: its option {info.name!r} is an option of `ganctl "
                    "evaluate` itself: use --evaluate while training"
                )
            fields.setdefault(info.name, (info.name, Annotated[info.type, info.opt], info.default))
    merged = dataclasses.make_dataclass("EvaluatorOptions", fields.values(), frozen=True)
    return [Group("", merged, f"Options of {', '.join(names)}")]


def measure(
    choices: Sequence[Choice],
    subject: str,
    data: str | None,
    samples: int | None,
    seeds: list[int],
    which: str,
    device: str,
    statistics_file: str | None,
) -> Report:
    """Everything between the command line and the report. Raises `UserError`."""
    from ..evaluation import Measurement, open_evaluators
    from ..training.device import memory_errors, pick_device
    from .evaluation_report import Report
    from .subjects import Reference, find_subjects

    with memory_errors():
        place = pick_device(device)
        if statistics_file is not None and Path(statistics_file).suffix != ".npz":
            raise UserError(f"--save-statistics {statistics_file}: the file is a .npz")
        reference = Reference.open(data, choices, place)
        subjects = find_subjects(subject, which, reference, samples, place)
        subjects.check(choices)
        if not subjects.generators and subjects.whole and len(seeds) > 1:
            raise UserError("seeds: all pictures are taken, so that seeds make no difference")
        evaluators = open_evaluators(choices, reference.spec or subjects.spec)
        measurement = Measurement(evaluators, reference.pictures)
        reference.hand_to(evaluators)
        with progress("looking at the set", len(reference), "images") as advance:
            measurement.see_reals(advance)
        if statistics_file is not None:
            save_statistics(Path(statistics_file), measurement)
        report = Report(subject, data, len(reference), subjects.samples, seeds)
        report.notes += subjects.notes(reference)
        total, done = len(subjects) * len(seeds) * subjects.samples, 0
        with progress("measuring", total, "images") as update:
            for each in subjects:
                for seed in seeds:
                    figures = measurement(each.images(seed), shifted(update, done))
                    done += subjects.samples
                    report.add(each.label, each.kimg, seed, figures, measurement)
    return report


def shifted(update: Callable[[int], None], start: int) -> Callable[[int], None]:
    """An update that counts from `start`."""
    return lambda seen: update(start + seen)


def save_statistics(file: Path, measurement: Measurement) -> None:
    """mu and sigma of the set, in the one format that pytorch-fid and TTUR share."""
    import io

    import numpy as np

    from ..files import write_atomically

    why = ""
    for entry, evaluator in measurement.evaluators.values():
        try:
            with entry.guard():
                arrays = evaluator.reference()
        except UserError as error:
            why = f"{entry.name}: {error}"
            continue
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, **arrays)
        write_atomically(file, data.getvalue())
        say(f"statistics: {file}")
        return
    raise UserError(f"--save-statistics: {why}")
