"""CIFAR-10 and CIFAR-100 from their python batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from ganctl import Item, Opt, Source, UserError

from . import files
from .batches import read_batch
from .places import CIFAR_BATCH, reader

SIDE = 32
TEST = frozenset({"test", "test_batch"})
NAMES = {"labels": "batches.meta", "fine_labels": "meta", "coarse_labels": "meta"}
"""The file beside the batches in which the names of such labels stand."""


@dataclass(frozen=True)
class CifarOptions:
    """Which batches to take."""

    path: Annotated[str, Opt("The folder with the python batches, or one batch file.")] = ""
    split: Annotated[Literal["train", "test", "all"], Opt("Of a folder: which batches.")] = "train"
    labels: Annotated[
        Literal["fine", "coarse"], Opt("CIFAR-100: the 100 classes, or their 20 groups.")
    ] = "fine"


class Rows(NamedTuple):
    """One batch file: (N, 3, 32, 32) uint8, and its labels as texts."""

    pixels: np.ndarray[Any, Any]
    fine: list[str] | None
    coarse: list[str] | None


class Cifar(Source[CifarOptions], api=1):
    """CIFAR-10 and CIFAR-100, 32×32 colour, from the python batches."""

    references = ("Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",)
    curated = True

    def reads(self, path: Path) -> bool:
        return reader(path) == "cifar"

    def check(self, options: CifarOptions) -> None:
        _batches(options)

    def resolution(self, options: CifarOptions) -> str:
        return str(SIDE)

    def fingerprint(self, options: CifarOptions) -> str:
        batches = _batches(options)
        return files.stamp([*batches, *(batches[0].with_name(n) for n in set(NAMES.values()))])

    def count(self, options: CifarOptions) -> int:
        return sum(len(_rows(file).pixels) for file in _batches(options))

    def items(self, options: CifarOptions) -> Iterator[Item]:
        for file in _batches(options):
            rows = _rows(file)
            labels = rows.coarse if options.labels == "coarse" else rows.fine
            for index in range(len(rows.pixels)):
                yield Item(
                    key=f"{file.name}/{index:05d}",
                    uri=f"{file}#{index}",
                    label=None if labels is None else labels[index],
                )

    def open(self, options: CifarOptions, item: Item) -> np.ndarray[Any, Any]:
        file, _, index = item.uri.rpartition("#")
        return np.ascontiguousarray(_rows(Path(file)).pixels[int(index)].transpose(1, 2, 0))


def _batches(options: CifarOptions) -> list[Path]:
    """The batch files that are asked for, by name."""
    path = files.existing("cifar", options.path)
    if not path.is_dir():
        return [path]
    found = sorted(f for f in path.iterdir() if CIFAR_BATCH.fullmatch(f.name) and f.is_file())
    wanted = [
        f for f in found if options.split == "all" or (f.name in TEST) == (options.split == "test")
    ]
    if found and not wanted:
        there = ", ".join(f.name for f in found)
        raise UserError(
            f"source cifar: {path}: no {options.split} batch, only {there}: --source.split all"
        )
    if not found:
        raise UserError(f"source cifar: {path}: no data_batch_1, test_batch, train or test in it")
    return wanted


@files.kept(6)
def _rows(file: Path) -> Rows:
    batch = read_batch(file)
    data = batch.pixels("data")
    if data.shape[1] != 3 * SIDE * SIDE:
        raise UserError(f"{file}: {data.shape[1]} bytes a row, not the 3,072 of 32×32 colour")
    texts: dict[str, list[str]] = {}
    for key, beside in NAMES.items():
        labels = batch.whole_numbers(key)
        if labels is None:
            continue
        if len(labels) != len(data):
            raise UserError(f"{file}: {len(labels)} {key} for {len(data)} pictures")
        names = _names(file.with_name(beside), key.replace("labels", "label_names"))
        if names and not all(0 <= label < len(names) for label in labels):
            raise UserError(f"{file}: {key} beyond the {len(names)} names in {beside}")
        texts[key] = [names[label] if names else str(label) for label in labels]
    return Rows(
        pixels=data.reshape(-1, 3, SIDE, SIDE),
        fine=texts.get("labels", texts.get("fine_labels")),
        coarse=texts.get("coarse_labels"),
    )


def _names(file: Path, key: str) -> list[str] | None:
    return read_batch(file).texts(key) if file.is_file() else None
