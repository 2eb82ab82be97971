"""A trained generator, rebuilt from its file alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from . import checkpoint, random
from .errors import UserError
from .images import Images
from .interfaces import (
    Generator,
    Network,
    Noise,
    Progress,
    StyleGenerator,
    expect_shape,
    to_pixels,
)
from .options import dump
from .options import load as load_options
from .plugin import Architecture
from .registry import Entry, entries, entry_of, find
from .spec import ImageSpec


class Model:
    """A generator in evaluation mode, with the header of its file."""

    def __init__(self, generator: Generator, spec: ImageSpec, header: dict[str, Any]) -> None:
        self.generator, self.spec, self.header = generator, spec, header

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    def latents(self, seeds: Iterable[int]) -> Tensor:
        """z (N, z_dim): each row follows from its seed alone, whichever others are asked for."""
        return latents(seeds, self.generator.z_dim).to(self.device)

    @torch.no_grad()
    def generate(
        self,
        seeds: Sequence[int],
        classes: int | Sequence[int] | None = None,
        batch: int = 32,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "const",
    ) -> Images:
        """One image per seed, as a uint8 array (N, H, W, C) with `pil()` and `grid()`.

        An image follows from its seed, its class and these settings alone, but for the rounding of
        sums, which may differ by a level between batches of different sizes. `classes` is one class
        for all or one per seed; a conditional model without it takes the seed modulo the number of
        classes. The other settings are for style generators. `truncation` is any finite number: 1
        leaves styles as they are, 0 makes them the mean, less than 0 what lies opposite; with a
        `truncation_cutoff`, 0 to num_ws, the first so many only. `noise` is the model's own, drawn
        from the seed, or left out.

        Raises `UserError` for seeds, classes or settings out of range, and for settings that the
        architecture does not have.
        """
        seeds = list(seeds)
        if not seeds:
            raise UserError("no seeds: give at least one")
        labels = self._labels(seeds, classes)
        if noise not in get_args(Noise):
            raise UserError(f"noise: {noise!r} is not one of {', '.join(get_args(Noise))}")
        settings = self._truncation(truncation, truncation_cutoff)
        for name, changed in (("truncation", settings != (1, None)), ("noise", noise != "const")):
            if changed:
                self.style_generator(name)

        def make(rows: slice) -> Tensor:
            z, c = self.latents(seeds[rows]), None if labels is None else labels[rows]
            if isinstance(self.generator, StyleGenerator):
                ws = self.generator.mapping(z, c, *settings)
                return self.generator.synthesis(ws, noise)
            images: Tensor = self.generator(z, c)
            return images

        return self._paint(make, seeds, batch)

    @torch.no_grad()
    def styles(
        self,
        seeds: Sequence[int],
        classes: int | Sequence[int] | None = None,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """The styles (N, num_ws, w_dim) from which `generate` makes its images.

        Raises `UserError` as it does, and for a generator without styles.
        """
        mapping = self.style_generator("styles").mapping
        settings = self._truncation(truncation, truncation_cutoff)
        return mapping(self.latents(seeds), self._labels(list(seeds), classes), *settings)

    @torch.no_grad()
    def synthesise(self, ws: Tensor, batch: int = 32) -> Images:
        """The images (N, H, W, C) of styles (N, num_ws, w_dim), with the model's own noise.

        Raises `UserError` for a generator without styles, and for styles of other sizes.
        """
        generator = self.style_generator("styles")
        synthesis, wanted = generator.synthesis, (generator.num_ws, generator.w_dim)
        if ws.ndim != 3 or not len(ws) or ws.shape[1:] != wanted:
            found = "x".join(map(str, ws.shape))
            raise UserError(f"styles: {found} numbers; this model takes Nx{wanted[0]}x{wanted[1]}")
        ws = ws.to(self.device)
        return self._paint(lambda rows: synthesis(ws[rows], "const"), range(len(ws)), batch)

    def style_generator(self, purpose: str) -> StyleGenerator:
        """The generator, where it has styles; else a `UserError` that begins with `purpose`."""
        if isinstance(self.generator, StyleGenerator):
            return self.generator
        name = self.header.get("architecture", {}).get("name", type(self.generator).__name__)
        raise UserError(f"{purpose}: this model is of the architecture {name}, which has no styles")

    def _truncation(self, psi: float, cutoff: int | None) -> tuple[float, int | None]:
        if not math.isfinite(psi):
            raise UserError(f"truncation: {psi} is not a finite number")
        if cutoff is not None:
            most = self.style_generator("truncation").num_ws
            if not 0 <= cutoff <= most:
                raise UserError(f"truncation cutoff {cutoff}: this model has {most} styles")
        return psi, cutoff

    def _paint(self, make: Callable[[slice], Tensor], seeds: Sequence[int], batch: int) -> Images:
        """What `make` gives for rows, in batches; of a generator that draws random numbers, one
        by one, so that each image's follow from its own seed."""
        parts = []
        with random.preserved(self.device):
            start, shape = 0, (self.spec.channels, self.spec.height, self.spec.width)
            while start < len(seeds):
                random.seed_everything(random.derive(seeds[start], "generate"))
                before = random.states(self.device)
                rows = slice(start, min(start + batch, len(seeds)))
                images = make(rows)
                expect_shape(self.generator, "images", images, rows.stop - start, *shape)
                if len(images) > 1 and random.states(self.device) != before:
                    batch = 1
                    continue
                parts.append(to_pixels(images))
                start += batch
        return np.concatenate(parts).view(Images)

    def _labels(self, seeds: list[int], classes: int | Sequence[int] | None) -> Tensor | None:
        if not self.spec.classes:
            if classes is not None:
                raise UserError("this model has no classes: it was trained without labels")
            return None
        if classes is None:
            wanted = [seed % self.spec.classes for seed in seeds]
        else:
            wanted = [classes] * len(seeds) if isinstance(classes, int) else list(classes)
        if len(wanted) != len(seeds):
            raise UserError(f"{len(wanted)} classes for {len(seeds)} seeds")
        for number in wanted:
            if not 0 <= number < self.spec.classes:
                raise UserError(
                    f"class {number}: this model has classes 0 to {self.spec.classes - 1}"
                )
        return torch.eye(self.spec.classes, device=self.device)[wanted]


def load(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """The model of a `generator.safetensors`, of a checkpoint folder, or of a run's newest.

    Nothing but the file and the architecture's plugin is needed; no pickle is involved.
    Raises `UserError` when the file is damaged or the plugin is not installed.
    """
    file = checkpoint.find_generator(Path(path))
    tensors, header = checkpoint.read(file)
    try:
        about, spec = header["architecture"], ImageSpec.from_json(header["spec"])
        name, values = about["name"], about["options"]
        offers = about["distribution"], about["version"]
        progress = Progress(*(header["training"][key] for key in ("step", "images", "total")))
    except (KeyError, TypeError):
        raise UserError(f"{file}: holds no generator (is it a training.safetensors?)") from None
    entry = _find_architecture(file, name, *offers)
    architecture = entry.load()
    options = load_options(architecture.options_class, values, f"{file}: {name}")
    with entry.guard():
        generator: Generator = architecture.build(options, spec)[0]  # type: ignore[attr-defined]
    try:
        generator.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: does not fit the installed {name}: {reason}") from None
    generator.at(progress)
    return Model(generator.to(device).eval().requires_grad_(False), spec, header)


def header(entry: Entry, options: Any, spec: ImageSpec, training: dict[str, Any]) -> dict[str, Any]:
    """What a generator's file says of itself: enough to build it again."""
    return {
        "architecture": {
            "name": entry.name,
            "distribution": entry.distribution,
            "version": entry.version,
            "options": dump(options),
        },
        "spec": spec.to_json(),
        "training": training,
    }


def save(
    path: str | Path,
    architecture: Architecture[Any],
    options: Any,
    spec: ImageSpec,
    generator: Generator,
    networks: Mapping[str, Network] | None = None,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Write a generator that was not trained here, for every command to take.

    A `path` that ends in `.safetensors` is the generator's file. Any other is a checkpoint
    folder, which also holds `networks` to train on from, by the players' names. What is there
    is replaced. `source` says in the header where they are from. Raises `GanctlError` when
    the disk refuses.
    """
    path = Path(path)
    training = {"step": 0, "images": 0, "total": 0}
    origin = {} if source is None else {"source": source}
    about = header(entry_of(architecture), options, spec, training) | origin
    if path.suffix == ".safetensors":
        checkpoint.write_file(path, generator.state_dict(), about)
        return
    files = {checkpoint.GENERATOR: (generator.state_dict(), about)}
    if networks:
        tensors = {
            f"{player}.{name}": tensor
            for player, network in networks.items()
            for name, tensor in network.state_dict().items()
        }
        files[checkpoint.TRAINING] = tensors, training | origin
    checkpoint.write(path, files, replace=True)


def latents(seeds: Iterable[int], z_dim: int) -> Tensor:
    """z (N, z_dim) float32, NumPy's `RandomState(seed).randn` per row as in StyleGAN."""
    rows = []
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise UserError(f"seed {seed}: seeds go from 0 to {2**32 - 1}")
        rows.append(np.random.RandomState(seed).randn(z_dim))
    if not rows:
        raise UserError("no seeds: give at least one")
    return torch.from_numpy(np.stack(rows)).float()


def _find_architecture(file: Path, name: str, distribution: str, version: str) -> Entry:
    offers = [e for e in entries("architecture") if e.name == name]
    if not offers:
        raise UserError(
            f"{file}: needs the architecture {name!r} of {distribution} {version}: "
            f"pip install {distribution}"
        )
    same = [e for e in offers if e.distribution == distribution]
    return same[0] if len(same) == 1 else find("architecture", name)
