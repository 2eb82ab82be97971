"""`ganctl resume`: continue a run as if it had never stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UserError
from .console import say
from .parse import existing, run_command


def run(argv: list[str]) -> int:
    return run_command(resume, "resume", argv)


def resume(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="The run folder.")],
    kimg: Annotated[
        float | None, typer.Option(help="New total length in thousands of images.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Another device: auto, cpu, cuda, mps.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON on standard output.")
    ] = False,
) -> int:
    """Continue a run from its newest checkpoint; --kimg makes it longer."""
    from .. import checkpoint
    from ..training.run import Run
    from .train import plan_and_set, read_config, train_run

    run = Run(existing(folder))
    core, tables = read_config(run.config_file)
    changes = {k: v for k, v in {"kimg": kimg, "device": device}.items() if v is not None}
    plan, dataset = plan_and_set({**core, **changes}, tables)
    latest = run.latest()
    header = checkpoint.read_header(latest / checkpoint.TRAINING) if latest else {"images": 0}
    assert plan.settings.kimg is not None
    if header["images"] >= plan.settings.kimg * 1000:
        raise UserError(
            f"{run.folder}: has done its {header['images'] / 1000:.3f} kimg; "
            f"to go on, name a larger total: --kimg {header['images'] / 500:g}"
        )
    if latest is None:
        say("no checkpoint yet: starting from the beginning")

    def open_run() -> Run:
        if changes:
            run.write_config(plan.config())
        run.rewind(header["images"])
        return run

    return train_run(plan, dataset, latest, open_run, as_json)
