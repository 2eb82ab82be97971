"""Checkpoints: two safetensors files in a folder that appears whole or not at all.

`generator.safetensors` is what people share; its header is enough to build the network.
`training.safetensors` holds the rest of the run's state.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import GanctlError, UserError
from .files import sync_folder, write_atomically

FORMAT = 1
GENERATOR, TRAINING = "generator.safetensors", "training.safetensors"
_KEY = "ganctl"  # one key: safetensors writes several in no fixed order


def write(
    folder: Path,
    files: dict[str, tuple[dict[str, Tensor], dict[str, Any]]],
    *,
    replace: bool = False,
) -> None:
    """Write `{file name: (tensors, header)}` as the checkpoint `folder`.

    A folder that is there and not empty is an error, unless it is to be replaced. Raises
    `GanctlError` when the disk refuses; nothing of the checkpoint is left then and the ones
    before it are as they were.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, (tensors, header) in files.items():
            with (part / name).open("wb") as file:
                file.write(_encoded(tensors, header))
                file.flush()
                os.fsync(file.fileno())
        sync_folder(part)
        _put(part, folder, replace)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise GanctlError(f"cannot write checkpoint {folder}: {error.strerror or error}") from None


def _put(part: Path, folder: Path, replace: bool) -> None:
    """Under its name; what it replaces comes back if that fails."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    there = replace and folder.exists()
    if there:
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if there:
            old.rename(folder)
        raise
    sync_folder(folder.parent)
    if there:
        shutil.rmtree(old, ignore_errors=True)


def write_file(file: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write one such file alone, whole or not at all; what is there is replaced.

    Raises `GanctlError` when the disk refuses.
    """
    write_atomically(file, _encoded(tensors, header))


def _encoded(tensors: dict[str, Tensor], header: dict[str, Any]) -> bytes:
    # Clones: networks may share tensors, safetensors files may not.
    plain = {
        key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, tensor in tensors.items()
    }
    text = json.dumps({"format": FORMAT, **header}, sort_keys=True)
    return save(plain, {_KEY: text})


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of one file. Raises `UserError` when it is not one of ours, or cut."""
    header = read_header(file)
    with safe_open(file, "pt") as content:
        return {key: content.get_tensor(key) for key in content.keys()}, header  # noqa: SIM118


def read_header(file: Path) -> dict[str, Any]:
    """The header alone; reads no tensor."""
    try:
        with safe_open(file, "pt") as content:
            metadata = content.metadata() or {}
        header = json.loads(metadata[_KEY])
        if not isinstance(header, dict):
            raise ValueError
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except (KeyError, ValueError):
        raise UserError(f"{file}: a safetensors file, but not one that ganctl wrote") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file}: {_what_else(file) or f'damaged or cut short ({error})'}"
        ) from None
    if header.get("format") != FORMAT:
        raise UserError(
            f"{file}: format {header.get('format')}, this ganctl reads {FORMAT}: upgrade ganctl"
        )
    return header


def _what_else(file: Path) -> str:
    """What a file is that is no safetensors file, as far as its beginning tells."""
    try:
        with file.open("rb") as content:
            start = content.read(4)
    except OSError:
        return ""
    if start.startswith(b"\x80"):
        return (
            "a pickle, which is a program and not read as a model; a network of NVIDIA's: "
            "`ganctl import-nvidia` makes a model of it"
        )
    if start == b"PK\x03\x04":
        return "a zip, and no model: a set of pictures, or a pickle of PyTorch's"
    return ""


def name_of(images: int) -> str:
    """Folder name after so many images, in kimg: `000200.000`. Names sort by age."""
    return f"{images // 1000:06d}.{images % 1000:03d}"


def list_all(checkpoints: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    if not checkpoints.is_dir():
        return []
    folders = [p for p in checkpoints.iterdir() if p.is_dir()]
    named = [p for p in folders if re.fullmatch(r"\d{6,}\.\d{3}", p.name)]
    return sorted(named, key=lambda p: float(p.name))


def find_generator(path: Path, which: str | None = None) -> Path:
    """The generator file that a path means: the file, a checkpoint, or one of a run's.

    `which` is the name of the run's checkpoint; None: the newest.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.is_file():
        return path
    folders = [path] if (path / GENERATOR).is_file() else list_all(path / "checkpoints")
    if not folders:
        raise UserError(f"{path}: no model in this folder (no {GENERATOR})")
    if which is not None and path / "checkpoints" / which not in folders:
        raise UserError(f"{path}: has no checkpoint {which}")
    return (folders[-1] if which is None else path / "checkpoints" / which) / GENERATOR


def prune(checkpoints: Path, keep: int, spare: str | None = None) -> None:
    """Remove all but the newest `keep`, and the one called `spare`."""
    for folder in list_all(checkpoints)[:-keep]:
        if folder.name == spare:
            continue
        # Renamed first: a kill in between must not leave half a checkpoint under its name.
        doomed = folder.with_name(f".{folder.name}.old")
        try:
            folder.rename(doomed)
        except OSError as error:
            raise GanctlError(f"cannot remove {folder}: {error.strerror}") from None
        shutil.rmtree(doomed, ignore_errors=True)


def clean(checkpoints: Path) -> None:
    """Remove what a killed process left behind."""
    if checkpoints.is_dir():
        for folder in checkpoints.glob(".*"):
            shutil.rmtree(folder, ignore_errors=True)
