"""One Adam per player: schedules, lazy regularisation, and a guard against non-finite steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from ..interfaces import Phase, Progress

LARGEST = 1e5
"""What an infinite gradient is clipped to, as in StyleGAN2-ADA."""


@dataclass(frozen=True)
class AdamSettings:
    """Adam's constants for one player, and the factor on its rate over the run."""

    lr: float
    betas: tuple[float, float]
    eps: float
    schedule: Callable[[Progress], float]


@dataclass(frozen=True)
class Moments:
    """What Adam remembers of one parameter, in the parameter's own memory layout."""

    step: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor


class PlayerOptimizer:
    """Adam over the trainable parameters of one player.

    A step whose gradients are not all finite is counted, by phase too, on the device: nothing
    here waits for a GPU. `nonfinite` says what else becomes of it: `skip` leaves it out, `clip`
    makes it with nan taken for 0 and inf for ±100,000. Buffers (batch statistics) are not
    guarded.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: AdamSettings,
        phases: Sequence[Phase],
        nonfinite: Literal["skip", "clip"] = "skip",
    ) -> None:
        self.named = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self.parameters = list(self.named.values())
        # Lazy phases add optimiser steps; Karras et al. 2020a (appendix B) keep the pace by
        # c = k / (k + 1): lr·c, β^c. Several lazy phases add up the same way.
        ratio = 1 / (1 + sum(1 / phase.every for phase in phases if phase.lazy))
        self._settings, self._lr = settings, settings.lr * ratio
        self._beta1, self._beta2 = (beta**ratio for beta in settings.betas)
        device = self.parameters[0].device
        self.moments = {
            name: Moments(torch.zeros((), device=device), torch.zeros_like(p), torch.zeros_like(p))
            for name, p in self.named.items()
        }
        self.nonfinite = nonfinite
        self.skipped = torch.zeros((), device=device)
        """Steps so far whose gradients were not finite, skipped or clipped."""
        self.streaks = {phase.name: torch.zeros((), device=device) for phase in phases}

    def train(self, flag: bool) -> None:
        """Whether the player's parameters take gradients."""
        for parameter in self.parameters:
            parameter.requires_grad_(flag)

    @torch.no_grad()
    def step(self, progress: Progress, phase: str) -> Tensor:
        """One update from a phase's gradients, which are dropped. Returns their norm as it was."""
        moved = [n for n, p in self.named.items() if p.grad is not None]
        grads = [g for p in self.parameters if (g := p.grad) is not None]
        norm = torch.nn.utils.get_total_norm(grads, foreach=True)
        bad = norm.isfinite().logical_not().float()
        self.skipped += bad
        self.streaks[phase].add_(1).mul_(bad)
        clips = self.nonfinite == "clip"
        # Only a CPU knows already whether there is anything to clip.
        if clips and (bad.device.type != "cpu" or bad):
            for grad in grads:
                torch.nan_to_num(grad, nan=0.0, posinf=LARGEST, neginf=-LARGEST, out=grad)
        moments = [self.moments[name] for name in moved]
        # What `torch.optim.Adam.step` calls; going there directly spares small networks its
        # bookkeeping.
        adam(
            [self.named[name] for name in moved],
            grads,
            [m.exp_avg for m in moments],
            [m.exp_avg_sq for m in moments],
            [],
            [m.step for m in moments],
            fused=True,
            # The kernel leaves everything as it is when this is 1.
            found_inf=None if clips else bad,
            amsgrad=False,
            beta1=self._beta1,
            beta2=self._beta2,
            lr=self._lr * self._settings.schedule(progress),
            weight_decay=0.0,
            eps=self._settings.eps,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Adam's state by parameter name, for a checkpoint."""
        state = {"skipped": self.skipped}
        state |= {f"streak.{name}": streak for name, streak in self.streaks.items()}
        for name, moments in self.moments.items():
            state |= {f"{name}.{key}": value for key, value in vars(moments).items()}
        return state

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors()` gave."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])
