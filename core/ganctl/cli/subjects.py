"""What is evaluated, and what it is held against, from the words of a command line."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from .. import checkpoint
from ..data.dataset import Dataset
from ..data.picture_set import PictureSet
from ..errors import UserError
from ..evaluation import Generated, default_samples
from ..model import Model, load
from ..training.best import which_file

if TYPE_CHECKING:
    from ..evaluator import Evaluator, ImageBatch
    from ..registry import Entry
    from ..spec import ImageSpec
    from ..training.plan import Choice

MOST_BYTES = 2 << 30
"""Of a file of statistics, unpacked."""


@dataclass(frozen=True)
class Reference:
    """The set, or its statistics, or nothing where no evaluator asks for it."""

    pictures: PictureSet | None = None
    statistics: Mapping[str, np.ndarray[Any, Any]] | None = None
    file: str = ""

    @classmethod
    def open(cls, data: str | None, choices: Sequence[Choice], device: torch.device) -> Reference:
        """Raises `UserError`."""
        if data is None:
            asking = [c.entry.name for c in choices if c.plugin.against_set]
            if asking:
                raise UserError(
                    f"{', '.join(asking)}: name what to hold it against: --data SET, a folder of "
                    "pictures, or statistics.npz"
                )
            return cls()
        if Path(data).suffix == ".npz":
            return cls(statistics=read_statistics(Path(data)), file=data)
        if Path(data).exists() and is_model(Path(data)):
            raise UserError(f"--data {data}: is a model, not a set: its config.toml names its set")
        return cls(pictures=open_pictures(Path(data), device, keep_features=True), file=data)

    def __len__(self) -> int:
        return 0 if self.pictures is None else len(self.pictures)

    @property
    def spec(self) -> ImageSpec | None:
        return None if self.pictures is None else self.pictures.spec

    @property
    def filter(self) -> str | None:
        return None if self.pictures is None else self.pictures.dataset.preparation.get("filter")

    def hand_to(self, evaluators: Mapping[str, tuple[Entry, Evaluator]]) -> None:
        """Statistics, where it is them. Raises `UserError`."""
        if self.statistics is None:
            return
        for entry, evaluator in evaluators.values():
            if not entry.load().against_set:  # type: ignore[attr-defined]
                continue
            try:
                with entry.guard():
                    evaluator.adopt(dict(self.statistics))
            except UserError as error:
                raise UserError(f"{self.file}: {entry.name}: {error}") from None


class Subject(Protocol):
    """A model's checkpoint, or pictures."""

    @property
    def label(self) -> str:
        raise NotImplementedError

    @property
    def kimg(self) -> float | None:
        raise NotImplementedError

    def images(self, seed: int) -> Generated | Iterable[ImageBatch]:
        raise NotImplementedError


@dataclass(frozen=True)
class Pictures:
    """A folder or zip; of more pictures than asked for, the seed draws as many."""

    label: str
    pictures: PictureSet
    samples: int
    kimg: float | None = None

    def images(self, seed: int) -> Iterable[ImageBatch]:
        if self.samples == len(self.pictures):
            return self.pictures.batches()
        rows = np.random.RandomState(seed).permutation(len(self.pictures))[: self.samples]
        return self.pictures.batches(torch.from_numpy(np.sort(rows)))


@dataclass(frozen=True)
class Checkpoint:
    """A generator's file, loaded when it is its turn."""

    label: str
    kimg: float | None
    file: Path
    samples: int
    reference: Reference
    device: torch.device

    def images(self, seed: int) -> Generated:
        model = load(self.file, self.device)
        return generated(model, self.samples, seed, self.reference)


@dataclass(frozen=True)
class Subjects:
    """All that is to be measured in one go, with as many images each."""

    subjects: Sequence[Subject]
    samples: int
    spec: ImageSpec
    generators: bool
    filter: str | None
    classes: tuple[int, tuple[str, ...]] = (0, ())
    whole: bool = False
    """All pictures there are."""

    def __iter__(self) -> Iterator[Subject]:
        return iter(self.subjects)

    def __len__(self) -> int:
        return len(self.subjects)

    def check(self, choices: Iterable[Choice]) -> None:
        """Raise `UserError` where pictures are given to who wants a generator."""
        for choice in choices:
            if choice.plugin.looks_at == "generator" and not self.generators:
                raise UserError(
                    f"{choice.entry.name}: looks at a generator, not at pictures: give a run or a "
                    "generator.safetensors"
                )

    def notes(self, reference: Reference) -> list[str]:
        notes = []
        if None not in (self.filter, reference.filter) and self.filter != reference.filter:
            notes.append(
                f"the set was prepared with the filter {reference.filter}, what is evaluated with "
                f"{self.filter}: resizing changes figures by percents"
            )
        theirs = reference.spec
        if theirs is not None and (self.spec.height, self.spec.width) != (
            theirs.height,
            theirs.width,
        ):
            notes.append(
                f"images of {self.spec.height}x{self.spec.width} are held against "
                f"{theirs.height}x{theirs.width}: figures also tell of the difference in sharpness"
            )
        if self.classes[0] and theirs is not None and names_of(theirs) != self.classes:
            notes.append(
                f"the set's {theirs.classes} classes are not the {self.classes[0]} of what is "
                "evaluated: all are generated equally often, and figures by class compare "
                "different classes"
            )
        return notes


def find_subjects(
    text: str, which: str, reference: Reference, samples: int | None, device: torch.device
) -> Subjects:
    """Raises `UserError` for what is neither a model nor pictures."""
    path = Path(text)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if not is_model(path):
        if which != "newest":
            raise UserError(f"{path}: is no run: --which chooses among a run's checkpoints")
        if path.name == "samples" and is_model(path.resolve().parent):
            raise UserError(f"{path}: holds sheets of samples: evaluate {path.parent} itself")
        pictures = open_pictures(path, device)
        count = len(pictures)
        if samples is not None and samples > count:
            raise UserError(f"samples: {samples:,} are asked for, and {path} holds {count:,}")
        one = Pictures(text, pictures, samples or count)
        dataset = pictures.dataset
        return Subjects(
            [one],
            one.samples,
            pictures.spec,
            False,
            dataset.preparation.get("filter"),
            names_of(dataset.spec),
            whole=one.samples == count,
        )
    files = checkpoint_files(path, which)
    first = load(files[-1], device)
    count = samples or default_samples(len(reference) or None)
    subjects = []
    for file in files:
        kimg = checkpoint.read_header(file)["training"]["images"] / 1000
        label = file.parent.name if which == "all" else text
        subjects.append(Checkpoint(label, kimg, file, count, reference, device))
    about = first.header["training"].get("filter")
    return Subjects(subjects, count, first.spec, True, about, names_of(first.spec))


def names_of(spec: ImageSpec) -> tuple[int, tuple[str, ...]]:
    return spec.classes, spec.class_names


def is_model(path: Path) -> bool:
    """Whether it is a generator's file, a checkpoint or a run."""
    if path.is_file():
        return path.suffix == ".safetensors"
    return (
        (path / checkpoint.GENERATOR).is_file()
        or (path / "checkpoints").is_dir()
        or (path / "config.toml").is_file()
    )


def checkpoint_files(path: Path, which: str) -> list[Path]:
    """Those that `which` means, the oldest first."""
    if which != "all":
        return [which_file(path, which)]
    folders = checkpoint.list_all(path / "checkpoints") if path.is_dir() else []
    if not folders:
        raise UserError(f"{path}: has no checkpoints: --which all goes with a run folder")
    return [folder / checkpoint.GENERATOR for folder in folders]


def generated(model: Model, samples: int, seed: int, reference: Reference) -> Generated:
    """Labels are as frequent as in the set, where it has the model's classes."""
    same = reference.spec is not None and names_of(reference.spec) == names_of(model.spec)
    labels = reference.pictures.labels if reference.pictures is not None and same else None
    return Generated(model.generator, samples, seed, classes=model.spec.classes, labels=labels)


def open_pictures(path: Path, device: torch.device, keep_features: bool = False) -> PictureSet:
    """A prepared set as it is; anything else as RGB, each picture in its own size."""
    dataset = Dataset(path)
    return PictureSet(dataset, device, any_size=not dataset.prepared, keep_features=keep_features)


def read_statistics(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an .npz file, without a pickle. Raises `UserError`."""
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
                raise UserError(f"{file}: holds more than {MOST_BYTES >> 30} GB")
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except UserError:
        raise
    except Exception:  # zipfile, zlib and NumPy raise some ten kinds
        found = {}
    if not found or not all(isinstance(array, np.ndarray) for array in found.values()):
        raise UserError(f"{file}: not a file of statistics (.npz), or damaged")
    return found
