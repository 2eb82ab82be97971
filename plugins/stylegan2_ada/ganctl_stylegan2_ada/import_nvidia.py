"""`ganctl import-nvidia`: a model out of a StyleGAN2 network snapshot."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from ganctl import Command, GanctlError, UserError, download, save

FILES = {"generator.safetensors", "training.safetensors"}
"""What a model's folder holds."""


class ImportNvidia(Command, api=1):
    """Make a model of a StyleGAN2 .pkl of NVIDIA's, without running any of it.

    Takes the snapshots of stylegan2-ada-pytorch, those that stylegan3 writes for StyleGAN2, and
    those of the TensorFlow code. A MODEL that ends in .safetensors is the generator alone; any
    other is a folder that also holds the discriminator, to train on with.
    """

    references = (
        "https://github.com/NVlabs/stylegan2-ada-pytorch (whose networks have a licence of "
        "their own)",
    )

    def main(
        self,
        file: Annotated[
            str, typer.Argument(metavar="FILE", help="The .pkl, or its https address.")
        ],
        out: Annotated[
            str, typer.Option(metavar="MODEL", help="A .safetensors file, or a folder.")
        ],
        force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    ) -> int:
        model = Path(out)
        check_out(model, force)
        with on_disk(file) as path:
            from . import StyleGAN2ADA
            from .nvidia import convert
            from .snapshot import read_snapshot

            snapshot = read_snapshot(path, file)
            try:
                imported = convert(snapshot)
            except UserError as error:
                raise UserError(f"{file}: {error}") from None
            source = {"file": base_name(file), "sha256": sha256(path)}
        for line in imported.found:
            print(line)
        lone = model.suffix == ".safetensors"
        networks = {}
        if imported.players is None:
            say(f"ganctl: note: no discriminator to train on with: {imported.left_out}")
        elif lone:
            say(
                f"ganctl: note: {model} has no discriminator; to train on with it, write a folder: "
                f"--out {model.with_suffix('')}"
            )
        else:
            networks = dict(zip(("generator", "discriminator"), imported.players, strict=True))
        save(
            model,
            StyleGAN2ADA(),
            imported.options,
            imported.spec,
            imported.generator,
            networks,
            source,
        )
        print(f"model: {model}")
        return 0


def check_out(model: Path, force: bool) -> None:
    """Before any work: raise `UserError` where the model cannot or may not be written."""
    lone = model.suffix == ".safetensors"
    if model.is_dir() and not lone:
        there = {path.name for path in model.iterdir()}
        if there and not force:
            raise UserError(f"{model}: exists already; --force replaces it")
        if there - FILES:
            raise UserError(f"{model}: holds other things than a model; choose another --out")
    elif model.exists():
        if model.is_dir() or not lone:
            kind = "a folder" if model.is_dir() else "a file, and the model is a folder"
            raise UserError(f"{model}: is {kind}; choose another --out")
        if not force:
            raise UserError(f"{model}: exists already; --force replaces it")
    parent = next(path for path in model.absolute().parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"{model}: cannot be written there")


@contextmanager
def on_disk(file: str) -> Iterator[Path]:
    """The file; one from the web is downloaded, and gone afterwards."""
    if "://" not in file:
        yield Path(file)
        return
    from .snapshot.limits import MAX_FILE

    with tempfile.TemporaryDirectory(prefix="ganctl-") as folder:
        path = Path(folder) / "network.pkl"
        say(f"downloading {file}")
        with closing(download(file, MAX_FILE)) as blocks, path.open("wb") as target:
            for block in blocks:
                try:
                    target.write(block)
                except OSError as error:
                    raise GanctlError(f"cannot write {path}: {error.strerror}") from None
        yield path


def base_name(file: str) -> str:
    """Its name alone: neither folders nor addresses are kept."""
    return unquote(urlsplit(file).path).rpartition("/")[2] if "://" in file else Path(file).name


def sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
