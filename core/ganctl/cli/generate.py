"""`ganctl generate`: pictures from a trained model, one per seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import progress
from .lists import class_name, parse_classes, parse_seeds, parse_truncations, psi_name
from .parse import run_command

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..model import Model
    from ..spec import ImageSpec

Variant = tuple[int | None, float]
"""What all seeds are made with: a class, or the seed's own, and a truncation."""

_AT_A_TIME = 32


def run(argv: list[str]) -> int:
    return run_command(generate, "generate", argv)


def generate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A generator.safetensors, or a run folder.")
    ],
    seeds: Annotated[str, typer.Option(help="Which ones: 0-15,99.")] = "0-15",
    truncation: Annotated[
        str,
        typer.Option(
            metavar="P,…",
            help="How far styles go from their mean: 1 all the way, 0.7 not quite, -1 the other "
            "way; several give every seed several times.",
        ),
    ] = "1",
    truncation_cutoff: Annotated[
        int | None, typer.Option(metavar="N", help="Of the first N styles only, else of all.")
    ] = None,
    noise: Annotated[
        str,
        typer.Option(
            metavar="const|random|none",
            help="Of a style generator: the model's own, drawn from the seed, or left out.",
        ),
    ] = "const",
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="C,…",
            help="Class to make, for a model trained with labels: a number, a name, several, a "
            "range, or all; else the seed modulo their number.",
        ),
    ] = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for the pictures.")] = "generated",
    grid: Annotated[
        bool, typer.Option("--grid", help="One picture with all of them: DIR/grid.png.")
    ] = False,
    which: Annotated[
        str, typer.Option(help="Of a run folder: newest, best, or a checkpoint's name.")
    ] = "newest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> int:
    """Make one picture per seed, as DIR/seed0000.png; the same seed, the same picture.

    With several classes or truncations one for each of them: DIR/seed0000-class3-psi0.70.png.
    """
    numbers = list(dict.fromkeys(parse_seeds(seeds)))
    psis = parse_truncations(truncation)
    from ..images import save_png
    from ..model import load
    from ..training.best import which_file
    from ..training.device import pick_device

    loaded = load(which_file(Path(model), which), pick_device(device))
    classes = [None] if label is None else parse_classes(label, loaded.spec)
    variants = [(number, psi) for number in classes for psi in psis]
    settings: dict[str, Any] = {"truncation_cutoff": truncation_cutoff, "noise": noise}
    folder = Path(out)
    if grid:
        file = folder / "grid.png"
        save_png(draw_grid(loaded, numbers, variants, settings), file)
        print(file)
        return 0
    done, total = 0, len(numbers) * len(variants)
    with progress("generating", total, "images") as update:
        for start in range(0, len(numbers), _AT_A_TIME):
            part = numbers[start : start + _AT_A_TIME]
            for (number, psi), words in zip(variants, words_of(variants, loaded.spec), strict=True):
                images = loaded.generate(part, number, truncation=psi, **settings).pil()
                for seed, image in zip(part, images, strict=True):
                    save_png(image, folder / f"{'-'.join([f'seed{seed:04d}', *words])}.png")
                done += len(part)
                update(done)
    print(f"{total} pictures in {folder}")
    return 0


def draw_grid(
    model: Model, seeds: list[int], variants: Sequence[Variant], settings: dict[str, Any]
) -> Image:
    """All in a square; where there are several variants, a row for each and a column per seed."""
    from ..images import enlarged, labelled, to_pil

    rows = [model.generate(seeds, number, truncation=p, **settings) for number, p in variants]
    if len(variants) == 1:
        return rows[0].grid()
    table = [[to_pil(pixels) for pixels in enlarged(row)] for row in rows]
    titles = [", ".join(words) for words in words_of(variants, model.spec, named=True)]
    return labelled(table, titles, [str(seed) for seed in seeds])


def words_of(
    variants: Sequence[Variant], spec: ImageSpec, *, named: bool = False
) -> Iterator[list[str]]:
    """Of each what tells it from the others: `class3`, or the class's name, and `psi0.70`."""
    several_classes, several_psis = (len({v[n] for v in variants}) > 1 for n in (0, 1))
    digits = len(str(spec.classes - 1))
    for number, psi in variants:
        words = []
        if several_classes and number is not None:
            words.append(class_name(number, spec) if named else f"class{number:0{digits}}")
        if several_psis:
            words.append(f"psi{' ' if named else ''}{psi_name(psi)}")
        yield words
