"""`ganctl mix`: pictures with the coarse traits of one seed and the fine ones of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .console import progress
from .lists import parse_classes, parse_seeds, parse_styles
from .parse import run_command

if TYPE_CHECKING:
    from PIL.Image import Image


def run(argv: list[str]) -> int:
    return run_command(mix, "mix", argv)


def mix(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A generator.safetensors, or a run folder.")
    ],
    rows: Annotated[str, typer.Option(metavar="SEEDS", help="Seeds along the left edge: 0-3.")],
    cols: Annotated[str, typer.Option(metavar="SEEDS", help="Seeds along the top: 8,9.")],
    styles: Annotated[
        str,
        typer.Option(
            metavar="N,…",
            help="Which styles come from the columns: numbers and ranges, 0-6, or coarse (0-3), "
            "middle (4-7), fine (from 8).",
        ),
    ] = "coarse",
    truncation: Annotated[
        float, typer.Option(metavar="P", help="How far styles go from their mean: 1 all the way.")
    ] = 1.0,
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="C",
            help="Class of all, for a model trained with labels: a number or a name; else each "
            "seed modulo their number.",
        ),
    ] = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for the pictures.")] = "mixed",
    which: Annotated[
        str, typer.Option(help="Of a run folder: newest, best, or a checkpoint's name.")
    ] = "newest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> int:
    """Mix styles: the rows', but for some that come from the columns (Karras et al. 2019, fig. 3).

    Every combination is DIR/r0000-c0002.png; DIR/grid.png shows them all, with the seeds' own
    pictures along the top and the left edge.
    """
    left, top = parse_seeds(rows, "rows"), parse_seeds(cols, "cols")
    from ..images import Images, enlarged, labelled, save_png, to_pil
    from ..model import load
    from ..training.best import which_file
    from ..training.device import pick_device

    loaded = load(which_file(Path(model), which), pick_device(device))
    chosen = parse_styles(styles, loaded.style_generator("mix").num_ws)
    classes = None if label is None else parse_classes(label, loaded.spec)
    if classes and len(classes) > 1:
        raise UserError(f"class {label}: mixing goes with one class")
    of_rows, of_cols = (
        loaded.styles(seeds, classes and classes[0], truncation=truncation) for seeds in (left, top)
    )

    def cells(images: Images) -> list[Image]:
        return [to_pil(pixels) for pixels in enlarged(images)]

    folder = Path(out)
    sources = cells(loaded.synthesise(of_rows))
    table: list[list[Image | None]] = [[None, *cells(loaded.synthesise(of_cols))]]
    with progress("mixing", len(left) * len(top), "images") as update:
        for number, (row, seed) in enumerate(zip(of_rows, left, strict=True)):
            ws = row.expand(len(top), -1, -1).clone()
            ws[:, chosen] = of_cols[:, chosen]
            mixed = loaded.synthesise(ws)
            for other, picture in zip(top, mixed.pil(), strict=True):
                save_png(picture, folder / f"r{seed:04d}-c{other:04d}.png")
            table.append([sources[number], *cells(mixed)])
            update((number + 1) * len(top))
    names = [["", *map(str, seeds)] for seeds in (left, top)]
    save_png(labelled(table, *names), folder / "grid.png")
    print(folder / "grid.png")
    return 0
