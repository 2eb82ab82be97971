"""What networks and augmenters are to the training loop, and what a phase is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from . import random

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Progress:
    """How far a run is: optimiser steps done, images shown to D, and their planned total."""

    step: int
    images: int
    total: int

    @property
    def kimg(self) -> float:
        return self.images / 1000

    @property
    def fraction(self) -> float:
        """0 at the start, 1 at the planned end."""
        return min(self.images / self.total, 1.0) if self.total else 1.0


class Reals(Protocol):
    """The training set, as far as networks may ask about it."""

    def statistics(self) -> tuple[Tensor, Tensor]:
        """(mean, deviation) of each channel over all pixels of all images, in [-1, 1] units.

        Two float32 tensors (C,). The whole set is read at the first call.
        """


class Network(nn.Module):
    """A module of a run. Its parameters and buffers are its whole state."""

    def fit(self, reals: Reals) -> None:
        """Told once, before the first step of a new run, what it will be trained on.

        What it takes from there belongs in buffers, which checkpoints hold. Raises `UserError`
        when it cannot be trained on this set. The default does nothing.
        """

    def at(self, progress: Progress) -> None:
        """Told before every step how far the run is: for growing and fading networks.

        What it changes must follow from `progress` alone, so that a resumed run and a
        loaded checkpoint come out the same. The default does nothing.
        """


class Generator(Network):
    """Latents to images."""

    z_dim: int

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z (N, z_dim) float32, c (N, classes) one-hot or None → (N, C, H, W) in [-1, 1]."""
        raise NotImplementedError


Noise = Literal["random", "const", "none"]
"""Of a synthesis: drawn anew, the same at every call, or left out."""


class StyleMapping(Protocol):
    """Latents to styles: a module, or a method."""

    def __call__(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        track: bool = True,
    ) -> Tensor:
        """z (N, z_dim) → ws (N, num_ws, w_dim).

        The first `truncation_cutoff` of the styles, None for all, go towards the mean style:
        mean + psi·(w - mean). A generator that keeps the mean up to date while it trains
        leaves these latents out of it when not `track`.
        """


class StyleSynthesis(Protocol):
    """Styles to images: a module, or a method."""

    def __call__(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        """ws (N, num_ws, w_dim) → (N, C, H, W) in [-1, 1].

        `noise` is drawn anew, or the same at every call, or left out.
        """


class WrongResult(TypeError):
    """Somebody's code gives what its interface does not have; `module` is where it is written."""

    def __init__(self, module: str, message: str) -> None:
        super().__init__(message)
        self.module = module


def expect_shape(network: nn.Module, what: str, found: Any, *wanted: int) -> None:
    """Raise `WrongResult` unless `found` is a tensor of the shape `wanted`."""
    if isinstance(found, Tensor) and found.shape == wanted:
        return
    kind = type(network)
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    raise WrongResult(kind.__module__, f"{kind.__name__} gives {what} of {shape}, not {wanted}")


class StyleGenerator(Generator):
    """A generator in two halves: latents to styles, styles to images."""

    w_dim: int
    num_ws: int
    mapping: StyleMapping
    synthesis: StyleSynthesis

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.synthesis(self.mapping(z, c))


class Discriminator(Network):
    """Images to logits."""

    rowwise: bool = False
    """True when a row's logit depends on that row alone (no batch statistics): reals and
    fakes may then be judged in one pass, which is faster and gives the same numbers."""

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) in [-1, 1], c (N, classes) one-hot or None → logits (N, 1)."""
        raise NotImplementedError


class Augmenter(Network):
    """What D sees images through; differentiable, as G learns through it."""

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) in [-1, 1] → the same shape."""
        raise NotImplementedError

    def adapt(self, real_logits: Tensor, progress: Progress) -> None:
        """Called after every step with the reals' logits of that step (N, 1)."""

    def figures(self) -> dict[str, float]:
        """What is logged of it, as `augment/NAME`, in every line of log.jsonl."""
        return {}


@dataclass
class Batch:
    """The rows of one step, or of one micro-batch of it.

    `pixels` is (N, C, H, W) uint8 on the run's device, `labels` (N, classes) float32
    one-hot or None. `memo` lives for one step: phases may leave there what a later phase
    of the same step and the same rows can use again.
    """

    pixels: Tensor
    labels: Tensor | None
    progress: Progress
    memo: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, list[Tensor]] = field(default_factory=dict)
    _images: Tensor | None = None

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @property
    def images(self) -> Tensor:
        """The pixels as float32 in [-1, 1]."""
        if self._images is None:
            self._images = self.pixels.float().div_(127.5).sub_(1)
        return self._images

    def report(self, name: str, value: Tensor) -> None:
        """Log the mean of `value`. The name `logits/real` also feeds the augmenter."""
        self.reports.setdefault(name, []).append(value.detach())

    def split(self, size: int) -> Iterator[tuple[int, Batch]]:
        """(first row, micro-batch) pairs of at most `size` rows, as equal as can be.

        They share `reports`.
        """
        parts = -(-len(self) // size)
        for part in range(parts):
            start, stop = part * len(self) // parts, (part + 1) * len(self) // parts
            labels = None if self.labels is None else self.labels[start:stop]
            yield start, Batch(self.pixels[start:stop], labels, self.progress, reports=self.reports)


class Players:
    """The two networks, with what the objective does with them."""

    def __init__(
        self, generator: Generator, discriminator: Discriminator, augmenter: Augmenter | None = None
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.augmenter = augmenter
        self.objective_state = nn.Module()

    def __getitem__(self, name: str) -> Network:
        networks: dict[str, Network] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        return networks[name]

    def buffer(self, name: str, initial: Tensor) -> Tensor:
        """A tensor of the objective's own that outlives the step (change it in place).

        Every checkpoint holds it and a resumed run gets it back.
        """
        device = next(self.generator.parameters()).device
        self.objective_state.register_buffer(name, initial.clone().to(device))
        return self.objective_state.get_buffer(name)

    def latents(self, batch: Batch) -> Tensor:
        """Fresh z (N, z_dim) for the rows of the batch."""
        return random.randn(len(batch), self.generator.z_dim, device=batch.pixels.device)

    def generate(self, batch: Batch) -> Tensor:
        """Fresh fakes (N, C, H, W) with the batch's own labels."""
        fakes: Tensor = self.generator(self.latents(batch), batch.labels)
        return fakes

    def critic(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """D's logits (N, 1) of x seen through the augmenter."""
        if self.augmenter is not None:
            x = self.augmenter(x)
        logits: Tensor = self.discriminator(x, c)
        expect_shape(self.discriminator, "logits", logits, len(x), 1)
        return logits

    def judge(
        self, batch: Batch, fakes: Tensor, *, reals: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits of the batch's images and of as many fakes, in one pass where D allows it.

        `reals` are what is judged in place of `batch.images`.
        """
        reals = batch.images if reals is None else reals
        if not self.discriminator.rowwise:
            return self.critic(reals, batch.labels), self.critic(fakes, batch.labels)
        labels = None if batch.labels is None else torch.cat([batch.labels, batch.labels])
        real, fake = self.critic(torch.cat([reals, fakes]), labels).chunk(2)
        return real, fake


@dataclass(frozen=True)
class Phase:
    """One optimiser step of one player.

    `loss(batch)` returns the mean over the batch's rows; only `player`'s parameters receive
    gradients. It runs at every step that `every` divides (n critic steps: G's phase with
    `every=n`). A phase is `lazy` when it is a regulariser that runs less often than its
    player's main phase: its loss is then scaled by `every`, and the player's Adam is
    adjusted as in Karras et al. 2020a, appendix B (lr·r, β^r, r = every / (every + 1)).
    A phase that is not `active` never runs, but Adam is adjusted as if it did.
    `after` is called when the step is done, without gradients: what keeps weights in bounds.
    """

    name: str
    player: Literal["generator", "discriminator"]
    loss: Callable[[Batch], Tensor]
    every: int = 1
    lazy: bool = False
    active: bool = True
    after: Callable[[], None] | None = None


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] → 0…255, rounded and clamped."""
    return images.float().mul(127.5).add_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def to_pixels(images: Tensor) -> np.ndarray[Any, Any]:
    """(N, C, H, W) in [-1, 1] → NumPy (N, H, W, C) uint8."""
    return to_uint8(images).permute(0, 2, 3, 1).contiguous().cpu().numpy()
