"""Fixed latents and fixed reals, looked at in evaluation mode: nothing of the run changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganctl import random

COUNT = 64
BATCH = 16
"""Images at a time: a probe must not take the memory that training needs."""


class Probe:
    """The same 64 latents, and 64 images spread over the set, each time."""

    def __init__(self, session: Any) -> None:
        self.players = session.state.players
        loader, spec = session.loader, session.plan.spec
        self.device = loader.device
        random.seed_everything(random.derive(session.plan.settings.seed, "probe"))
        self._z = torch.randn(COUNT, self.players.generator.z_dim)
        rows = torch.linspace(0, len(loader.dataset) - 1, COUNT).long()
        self.reals = loader.gather(rows).float().div_(127.5).sub_(1)
        self._c = None
        if spec.classes:
            self._c = torch.eye(spec.classes)[torch.from_numpy(loader.dataset.labels)[rows]]

    @torch.no_grad()
    def fakes(self) -> Tensor:
        """(64, C, H, W), float32, on the CPU, from the generator as it is now."""
        with evaluating(self.players.generator) as generator:
            parts = [generator(z, c).float().cpu() for z, c in self._batches(self._z)]
        return torch.cat(parts)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """D's logits (64,) of images without augmentation, on the CPU."""
        with evaluating(self.players.discriminator) as discriminator:
            parts = [discriminator(x, c).float().cpu() for x, c in self._batches(images)]
        return torch.cat(parts).flatten()

    def _batches(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        for start in range(0, COUNT, BATCH):
            part = slice(start, start + BATCH)
            c = None if self._c is None else self._c[part].to(self.device)
            yield rows[part].to(self.device), c


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Within: in evaluation mode."""
    was_training = network.training
    network.eval()
    try:
        yield network
    finally:
        network.train(was_training)
