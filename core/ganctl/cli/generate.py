"""`ganctl generate`: pictures from a trained model, one per seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .console import progress
from .parse import run_command


def run(argv: list[str]) -> int:
    return run_command(generate, "generate", argv)


def generate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A generator.safetensors, or a run folder.")
    ],
    seeds: Annotated[str, typer.Option(help="Which ones: 0-15,99.")] = "0-15",
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for the pictures.")] = "generated",
    grid: Annotated[
        bool, typer.Option("--grid", help="One picture with all of them: DIR/grid.png.")
    ] = False,
    label: Annotated[
        int | None, typer.Option("--class", help="Class to make, for a model trained with labels.")
    ] = None,
    which: Annotated[
        str, typer.Option(help="Of a run folder: newest, best, or a checkpoint's name.")
    ] = "newest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> int:
    """Make one picture per seed, as DIR/seed0000.png; the same seed, the same picture."""
    numbers = parse_seeds(seeds)
    from ..images import save_png
    from ..model import load
    from ..training.device import pick_device
    from ..training.evaluate import which_file

    loaded = load(which_file(Path(model), which), pick_device(device))
    folder = Path(out)
    if grid:
        file = folder / "grid.png"
        save_png(loaded.generate(numbers, label).grid(), file)
        print(file)
        return 0
    with progress("generating", len(numbers), "images") as update:
        for start in range(0, len(numbers), 32):
            part = numbers[start : start + 32]
            for seed, image in zip(part, loaded.generate(part, label).pil(), strict=True):
                save_png(image, folder / f"seed{seed:04d}.png")
            update(start + len(part))
    print(f"{len(numbers)} pictures in {folder}")
    return 0


def parse_seeds(text: str) -> list[int]:
    """`"0-3,99"` → [0, 1, 2, 3, 99]. Raises `UserError`."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise UserError(f"seeds: {part.strip()!r} is not a number or a range such as 0-15")
        low, high = int(first), int(last or first)
        if high < low or high >= 2**32 or high - low >= 1_000_000:
            raise UserError(
                f"seeds: {part.strip()}: seeds rise, go to {2**32 - 1}, and a range holds a million"
            )
        numbers.extend(range(low, high + 1))
    return numbers
