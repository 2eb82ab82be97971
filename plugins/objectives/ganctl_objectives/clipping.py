"""The bound that makes a critic Lipschitz: clipped weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from ganctl import UserError


@torch.no_grad()
def clip_weights(network: nn.Module, clip: float) -> None:
    """Every parameter into [−clip, clip], in place (Arjovsky et al. 2017, algorithm 1, line 7).

    Those that take no gradient stay as they are.
    """
    parameters: list[torch.Tensor] = [p for p in network.parameters() if p.requires_grad]
    torch._foreach_clamp_min_(parameters, -clip)
    torch._foreach_clamp_max_(parameters, clip)


def refuse_parametrized(network: nn.Module) -> None:
    """Raise `UserError` where clipping would do nothing, as weights are scaled afterwards."""
    if any(is_parametrized(module) for module in network.modules()):
        raise UserError(
            "objective: wgan clips weights, which spectral normalisation scales up again: "
            "choose --arch.d-norm none, or another objective"
        )
