"""Sets of equal-sized pictures in idx files: MNIST, EMNIST, KMNIST and what is laid out so."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NamedTuple, cast

import numpy as np

from ganctl import Item, Opt, Source, UserError

from . import files
from .places import IDX_IMAGES, reader

MAX_BYTES = 4 * 2**30
"""Of the pixels in one file, unpacked."""


@dataclass(frozen=True)
class IdxOptions:
    """Which idx files to take."""

    path: Annotated[
        str, Opt("The file of images, or the folder with *-images-idx3-ubyte files; .gz or not.")
    ] = ""
    split: Annotated[
        Literal["auto", "train", "test", "all"],
        Opt("Of a folder: files named test or t10k, or not so; auto: train, else what is there."),
    ] = "auto"


class Part(NamedTuple):
    """A file of images, its name in keys, and the file of its labels."""

    name: str
    images: Path
    labels: Path | None


class Idx(Source[IdxOptions], api=1):
    """Pictures and labels in idx files, as MNIST, EMNIST and KMNIST come."""

    references = ("LeCun, Cortes, Burges 1998, The MNIST database of handwritten digits",)
    curated = True

    def reads(self, path: Path) -> bool:
        return reader(path) == "idx"

    def check(self, options: IdxOptions) -> None:
        for part in _parts(options):
            _picture_shape(part.images)

    def channels(self, options: IdxOptions) -> int:
        return max(3 if len(_picture_shape(p.images)) == 4 else 1 for p in _parts(options))

    def resolution(self, options: IdxOptions) -> str | None:
        sizes = {_picture_shape(part.images)[1:3] for part in _parts(options)}
        height, width = next(iter(sizes))
        if len(sizes) > 1:
            return None
        return str(height) if height == width else f"{height}x{width}"

    def fingerprint(self, options: IdxOptions) -> str:
        return files.stamp(f for part in _parts(options) for f in part[1:] if f is not None)

    def count(self, options: IdxOptions) -> int:
        return sum(_picture_shape(part.images)[0] for part in _parts(options))

    def items(self, options: IdxOptions) -> Iterator[Item]:
        for part in _parts(options):
            count = _picture_shape(part.images)[0]
            labels = None if part.labels is None else read_idx(part.labels)
            if labels is not None and labels.shape != (count,):
                raise UserError(f"source idx: {part.labels}: not one label for each of {count}")
            for index in range(count):
                yield Item(
                    key=f"{part.name}/{index:05d}",
                    uri=f"{part.images}#{index}",
                    label=None if labels is None else str(labels[index]),
                )

    def open(self, options: IdxOptions, item: Item) -> np.ndarray[Any, Any]:
        file, _, index = item.uri.rpartition("#")
        pixels: np.ndarray[Any, Any] = read_idx(Path(file))[int(index)]
        return pixels


def _parts(options: IdxOptions) -> list[Part]:
    """The files that are asked for, by name."""
    path = files.existing("idx", options.path)
    if not path.is_dir():
        return [_part(path)]
    # Sorted, a file comes before its own .gz, which is then left out.
    found: dict[str, Part] = {}
    for file in sorted(path.iterdir()):
        if IDX_IMAGES.fullmatch(file.name) and file.is_file():
            found.setdefault(file.name.removesuffix(".gz"), _part(file))
    if not found:
        raise UserError(f"source idx: {path}: no file named *-images-idx3-ubyte or so in it")
    wanted = [
        part
        for part in found.values()
        if options.split == "all"
        or any(word in part.name.lower() for word in ("test", "t10k")) == (options.split == "test")
    ]
    if not wanted and options.split == "auto":
        return list(found.values())
    if not wanted:
        there = ", ".join(part.images.name for part in found.values())
        raise UserError(
            f"source idx: {path}: no {options.split} images, only {there}: --source.split all"
        )
    return wanted


def _part(images: Path) -> Part:
    match = IDX_IMAGES.fullmatch(images.name)
    if match is None:
        return Part(images.name.partition(".")[0], images, None)
    name, dot = match["part"], match["dot"]
    labels = images.with_name(f"{name}-labels{dot}idx1-ubyte")
    beside = (labels, labels.with_name(f"{labels.name}.gz"))
    return Part(name, images, next((file for file in beside if file.is_file()), None))


@files.kept(8)
def _picture_shape(file: Path) -> tuple[int, ...]:
    """(N, H, W) or (N, H, W, 3), from the head of the file."""
    try:
        with _opened(file) as stream:
            shape = _read_head(stream)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{file}: damaged or cut short ({error})") from None
    if len(shape) not in (3, 4) or shape[3:] not in ((), (3,)) or 0 in shape:
        raise UserError(
            f"{file}: holds an array of shape {shape}: wanted (N, H, W) or (N, H, W, 3)"
        )
    return shape


@files.kept(4)
def read_idx(file: Path) -> np.ndarray[Any, Any]:
    """The array of an idx file of unsigned bytes. Raises `UserError` when it is damaged."""
    try:
        with _opened(file) as stream:
            shape = _read_head(stream)
            size = math.prod(shape)
            if size > MAX_BYTES:
                raise ValueError(f"{shape} is over {MAX_BYTES >> 30} GB")
            data = stream.read(size + 1)
            if len(data) != size:
                raise ValueError(f"not the {size} bytes of {shape}")
        return np.frombuffer(data, np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error, MemoryError) as error:
        raise UserError(f"{file}: damaged or cut short ({error})") from None


def _opened(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


def _read_head(stream: IO[bytes]) -> tuple[int, ...]:
    head = stream.read(4)
    if len(head) != 4 or head[:3] != b"\x00\x00\x08":
        raise ValueError("not an idx file of unsigned bytes")
    sizes = stream.read(4 * head[3])
    if len(sizes) != 4 * head[3]:
        raise ValueError("its head is cut")
    return tuple(np.frombuffer(sizes, ">u4").tolist())
