"""A small convolutional classifier of a labelled set, whose features metrics can use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganctl import GanctlError, UserError

from .inputs import fitted

LARGEST = 64
"""Images whose shorter side is longer are resized to a square of this many pixels."""
SMALLEST = 8
"""Shorter sides are enlarged to this many pixels."""
BATCH = 128
EPOCHS, FEWEST, MOST = 4, 20_000, 200_000
"""So many passes over the set, but at least and at most so many images are shown."""
FORMAT = 1
_KEY = "ganctl-classifier"


@dataclass(frozen=True)
class Shape:
    """What a classifier looks at and tells apart: sides in pixels, channels 1 or 3."""

    height: int
    width: int
    channels: int
    classes: int

    @classmethod
    def of(cls, images: Tensor, classes: int) -> Shape:
        """For a set of images such as these (N, C, H, W)."""
        height, width = images.shape[2:]
        if min(height, width) > LARGEST:
            height = width = LARGEST
        channels = 1 if images.shape[1] < 3 else 3
        return cls(max(height, SMALLEST), max(width, SMALLEST), channels, classes)


class Classifier(nn.Module):
    """Three convolutions with batch normalisation, a hidden layer, and `fc` on top of it.

    `accuracy` is the share of images it told right that it was not trained on, 0 to 1.
    """

    dim = 128

    def __init__(self, shape: Shape, seed: int = 0, accuracy: float = 0.0) -> None:
        super().__init__()
        self.shape, self.seed, self.accuracy = shape, seed, accuracy
        stride = 2 if min(shape.height, shape.width) > 32 else 1
        self.body = nn.Sequential(
            *_block(shape.channels, 16, stride), *_block(16, 32), *_block(32, 64), nn.Flatten()
        )
        height, width = (-(-side // stride) // 8 for side in (shape.height, shape.width))
        self.hidden = nn.Sequential(
            nn.Linear(64 * height * width, self.dim, bias=False),
            nn.BatchNorm1d(self.dim),
            nn.ReLU(),
        )
        self.fc = nn.Linear(self.dim, shape.classes)

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 of any size and 1, 3 or 4 channels → (N, 128), none below 0."""
        x = fitted(images, self.shape.channels, self.shape.height, self.shape.width)
        features: Tensor = self.hidden(self.body(x))
        return features

    def logits(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 → (N, classes)."""
        logits: Tensor = self.fc(self.features(images))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        return self.logits(images)


def _block(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A convolution that ends at half the size, or a quarter of it with stride 2."""
    return [
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.MaxPool2d(2),  # before the rest, which then has a quarter to do
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def train_classifier(
    gather: Callable[[Tensor], Tensor],
    labels: Tensor,
    classes: int,
    seed: int = 0,
    advance: Callable[[int], None] = lambda count: None,
) -> Classifier:
    """A classifier of the set, trained on nine tenths of it, its accuracy that on the rest.

    `gather(rows)` takes int64 row numbers (n,) and returns these images (n, C, H, W) uint8,
    on the device to train on; `labels` is (N,) int64 in 0…classes - 1. `advance` is told
    after each step how many images it showed; they come to `images_shown(N)`. The same seed
    and number of threads give the same weights on a CPU. torch's random state stays as it is.
    Raises `UserError` when the set is not one to learn from.
    """
    if len(labels) < 10 or classes < 2:
        raise UserError(
            f"a classifier needs 10 labelled images of 2 classes: here are {len(labels)} of "
            f"{classes}"
        )
    labels = labels.cpu()
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise UserError(
            f"labels from {int(labels.min())} to {int(labels.max())}: a classifier of {classes} "
            f"classes needs them from 0 to {classes - 1}"
        )
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=source)
    held_out, rest = order[: len(order) // 10].sort().values, order[len(order) // 10 :]
    first = gather(rest[:1])
    with torch.random.fork_rng(devices=[]):  # modules draw their first weights on the CPU
        torch.default_generator.manual_seed(seed)
        classifier = Classifier(Shape.of(first, classes), seed).to(first.device)
    sizes = _batch_sizes(images_shown(len(labels)), min(BATCH, len(rest)))
    adam = torch.optim.Adam(classifier.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.01, total_iters=len(sizes))
    for rows in _batches(rest, sizes, source):
        logits = classifier.logits(gather(rows))
        loss = cross_entropy(logits, labels[rows].to(logits.device))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
        advance(len(rows))
    classifier.eval().requires_grad_(False)
    told = torch.cat([classifier.logits(gather(rows)).argmax(1).cpu() for rows in _parts(held_out)])
    classifier.accuracy = float((told == labels[held_out]).float().mean())
    return classifier


def images_shown(count: int) -> int:
    """How many images training on a set of `count` shows, repeats included."""
    return min(max(EPOCHS * count, FEWEST), MOST)


def _batch_sizes(shown: int, largest: int) -> list[int]:
    """As equal as can be: batch normalisation needs more than one image."""
    steps = -(-shown // largest)
    return [(step + 1) * shown // steps - step * shown // steps for step in range(steps)]


def _batches(rows: Tensor, sizes: list[int], source: torch.Generator) -> Iterator[Tensor]:
    """Batches of these sizes: every row once, in random order, then all of them again."""
    waiting = rows[:0]
    for size in sizes:
        if len(waiting) < size:
            again = rows[torch.randperm(len(rows), generator=source)]
            waiting = torch.cat([waiting, again])
        yield waiting[:size]
        waiting = waiting[size:]


def _parts(rows: Tensor) -> tuple[Tensor, ...]:
    return rows.split(4 * BATCH)  # type: ignore[no-any-return, no-untyped-call]


def to_file(classifier: Classifier) -> bytes:
    """A safetensors file; of equal weights the same bytes."""
    header = {
        "format": FORMAT,
        **asdict(classifier.shape),
        "seed": classifier.seed,
        "accuracy": classifier.accuracy,
    }
    tensors = {name: value.cpu().contiguous() for name, value in classifier.state_dict().items()}
    return to_bytes(tensors, {_KEY: json.dumps(header, sort_keys=True)})


def save(classifier: Classifier, path: Path) -> None:
    """Write it as one safetensors file, whole or not at all. Raises `GanctlError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(to_file(classifier))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise GanctlError(f"cannot write {path}: {error.strerror or error}") from None


def load(path: Path) -> Classifier:
    """A saved classifier, on the CPU. Raises `UserError` when the file is none, or cut."""
    try:
        with safe_open(path, "pt") as content:
            header: dict[str, Any] = json.loads((content.metadata() or {})[_KEY])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        if header["format"] != FORMAT:
            raise UserError(f"{path}: a classifier of another ganctl: remove the file")
        shape = Shape(*(int(header[name]) for name in ("height", "width", "channels", "classes")))
        with torch.random.fork_rng(devices=[]):
            classifier = Classifier(shape, int(header["seed"]), float(header["accuracy"]))
        classifier.load_state_dict(tensors)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise UserError(f"{path}: a safetensors file, but not a classifier's") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged or cut short ({error})") from None
    return classifier.eval().requires_grad_(False)
