"""`ganctl export`: a model for programs that know no PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .console import progress
from .parse import run_command


def run(argv: list[str]) -> int:
    return run_command(export, "export", argv)


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A generator.safetensors, or a run folder.")
    ],
    onnx: Annotated[str, typer.Option(metavar="FILE.onnx", help="Where the generator goes.")],
    which: Annotated[
        str, typer.Option(help="Of a run folder: newest, best, or a checkpoint's name.")
    ] = "newest",
) -> int:
    """Write the generator as FILE.onnx, from latents to images, held against ONNX Runtime.

    Of a style generator also its halves: FILE-mapping.onnx and FILE-synthesis.onnx.
    """
    file = Path(onnx)
    if file.suffix != ".onnx" or file.stem.startswith("."):
        raise UserError(f"--onnx {onnx}: give a file whose name ends in .onnx")
    from ..files import write_atomically
    from ..model import load
    from ..onnx_export import convert, find_onnx, graphs_of
    from ..training.best import which_file

    find_onnx()
    there = next(folder for folder in file.absolute().parents if folder.exists())
    if file.is_dir() or not os.access(there, os.W_OK):  # known before minutes of work
        raise UserError(f"--onnx {onnx}: cannot be written there")
    graphs = graphs_of(load(which_file(Path(model), which)))
    made = {}
    with progress("exporting", len(graphs), "files") as update:
        for done, graph in enumerate(graphs, start=1):
            made[file.with_name(f"{file.stem}{graph.ending}.onnx")] = graph, *convert(graph)
            update(done)
    for path, (_, data, _) in made.items():
        write_atomically(path, data)
    for path, (graph, _, difference) in made.items():
        inputs = ", ".join(graph.inputs(1))
        print(f"{path}: {inputs} → {graph.output}, within {difference:.1e} of PyTorch")
    return 0
