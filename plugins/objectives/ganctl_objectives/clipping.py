"""The bound that makes a critic Lipschitz: clipped weights."""

from __future__ import annotations

import torch
from torch import nn


def clip_weights(network: nn.Module, clip: float) -> None:
    """Every parameter into [−clip, clip], in place (Arjovsky et al. 2017, algorithm 1, line 7)."""
    parameters: list[torch.Tensor] = list(network.parameters())
    torch._foreach_clamp_min_(parameters, -clip)
    torch._foreach_clamp_max_(parameters, clip)
