"""One network of a file, in our terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganctl import ImageSpec, UserError

CHANNELS = (1, 3, 4)
LARGEST = 2**20
"""Channels, classes or features: more than any tensor of a file can have."""
LAYERS = 100


@dataclass(frozen=True)
class Found:
    """A generator or a discriminator: what it is for, how it is built, what it has learnt."""

    name: str
    """As the file calls it: `G_ema`."""
    spec: ImageSpec
    options: dict[str, Any]
    """Those of `StyleGAN2Options` that the file decides."""
    tensors: dict[str, Tensor]
    """By our networks' names."""

    def __post_init__(self) -> None:
        if self.spec.channels not in CHANNELS:
            raise UserError(
                f"{self.name}: makes images of {self.spec.channels} channels: ganctl has gray "
                "(1), RGB (3) and RGBA (4)"
            )
