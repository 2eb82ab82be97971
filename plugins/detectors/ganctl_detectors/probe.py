"""Fixed latents and fixed reals, looked at so that nothing of the run changes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ganctl import random

COUNT = 64
BATCH = 16
"""Images at a time: a probe must not take the memory that training needs."""

_probes: WeakKeyDictionary[Any, Probe] = WeakKeyDictionary()


class Probe:
    """The same 64 latents, and 64 images spread over the set, each time."""

    def __init__(self, session: Any) -> None:
        self._state = session.state
        loader, spec = session.loader, session.plan.spec
        self._device = loader.device
        random.seed_everything(random.derive(session.plan.settings.seed, "probe"))
        self._z = torch.randn(COUNT, self._state.players.generator.z_dim)
        rows = torch.linspace(0, len(loader.dataset) - 1, COUNT).long()
        self.reals = loader.gather(rows).float().div_(127.5).sub_(1)
        self._c = None
        if spec.classes:
            self._c = torch.eye(spec.classes)[torch.from_numpy(loader.dataset.labels)[rows]]
        self._fakes: tuple[int, Tensor] = (-1, self.reals)

    @classmethod
    def of(cls, session: Any) -> Probe:
        """One for all detectors of a session: images are made once for each look."""
        if session not in _probes:
            _probes[session] = cls(session)
        return _probes[session]

    @torch.no_grad()
    def fakes(self) -> Tensor:
        """(64, C, H, W), float32, on the CPU, from the generator in evaluation mode."""
        if self._fakes[0] != self._state.step:
            generator = self._state.players.generator
            was_training = generator.training
            generator.eval()
            parts = [generator(z, c).float().cpu() for z, c in self._batches(self._z)]
            generator.train(was_training)
            self._fakes = self._state.step, torch.cat(parts)
        return self._fakes[1]

    @torch.no_grad()
    def logits(self) -> tuple[Tensor, Tensor]:
        """D's logits (64,) of reals and fakes, without augmentation, on the CPU.

        As in training: a batch norm's running figures, of reals and fakes mixed, would say
        something else. It is a copy that is asked, whose buffers may change.
        """
        discriminator = copy.deepcopy(self._state.players.discriminator).train()
        real, fake = (
            torch.cat([discriminator(x, c).float().cpu() for x, c in self._batches(images)])
            for images in (self.reals, self.fakes())
        )
        return real.flatten(), fake.flatten()

    def _batches(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        for start in range(0, COUNT, BATCH):
            part = slice(start, start + BATCH)
            c = None if self._c is None else self._c[part].to(self._device)
            yield rows[part].to(self._device), c
