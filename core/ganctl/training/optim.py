"""One Adam per player: schedules, lazy regularisation, and a guard against non-finite steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..interfaces import Phase, Progress


@dataclass(frozen=True)
class AdamSettings:
    """Adam's constants for one player, and the factor on its rate over the run."""

    lr: float
    betas: tuple[float, float]
    eps: float
    schedule: Callable[[Progress], float]


class PlayerOptimizer:
    """Adam over the trainable parameters of one player.

    A step whose gradients are not all finite is skipped and counted, by phase too, on the
    device: nothing here waits for a GPU. Buffers (batch statistics) are not guarded.
    """

    def __init__(self, network: nn.Module, settings: AdamSettings, phases: Sequence[Phase]) -> None:
        self.named = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self.parameters = list(self.named.values())
        # Lazy phases add optimiser steps; Karras et al. 2020a (appendix B) keep the pace by
        # c = k / (k + 1): lr·c, β^c. Several lazy phases add up the same way.
        ratio = 1 / (1 + sum(1 / phase.every for phase in phases if phase.lazy))
        self._lr, self._schedule = settings.lr * ratio, settings.schedule
        beta1, beta2 = (beta**ratio for beta in settings.betas)
        self.adam = torch.optim.Adam(
            self.parameters, lr=self._lr, betas=(beta1, beta2), eps=settings.eps, fused=True
        )
        device = self.parameters[0].device
        self.skipped = torch.zeros((), device=device)
        self.streaks = {phase.name: torch.zeros((), device=device) for phase in phases}

    def train(self, flag: bool) -> None:
        """Whether the player's parameters take gradients."""
        for parameter in self.parameters:
            parameter.requires_grad_(flag)

    def step(self, progress: Progress, phase: str) -> Tensor:
        """One update from a phase's gradients, which are dropped. Returns their norm."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads, foreach=True)
        bad = norm.isfinite().logical_not().float()
        self.skipped += bad
        self.streaks[phase].add_(1).mul_(bad)
        self.adam.param_groups[0]["lr"] = self._lr * self._schedule(progress)
        # The fused kernels leave everything as it is when this is 1.
        self.adam.found_inf = bad  # type: ignore[attr-defined]
        self.adam.step()
        for parameter in self.parameters:
            parameter.grad = None
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Adam's state by parameter name, for a checkpoint."""
        state = {"skipped": self.skipped}
        state |= {f"streak.{name}": streak for name, streak in self.streaks.items()}
        for name, parameter in self.named.items():
            for key, value in self.adam.state.get(parameter, {}).items():
                state[f"{name}.{key}"] = value
        return state

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors()` gave."""
        device = self.skipped.device
        self.skipped.copy_(tensors["skipped"])
        for name, streak in self.streaks.items():
            streak.copy_(tensors[f"streak.{name}"])
        for name, parameter in self.named.items():
            if f"{name}.step" in tensors:
                self.adam.state[parameter] = {
                    "step": tensors[f"{name}.step"].clone().to(device),
                    # In the parameter's own layout: the fused kernel reads memory in order.
                    "exp_avg": torch.empty_like(parameter).copy_(tensors[f"{name}.exp_avg"]),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(tensors[f"{name}.exp_avg_sq"]),
                }
