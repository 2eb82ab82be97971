"""Self-attention over the positions of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """x + γ·v(softmax(f(x)ᵀ g(x)) applied to h(x)), γ = 0 at first; Zhang et al. 2019, eq. 1–3.

    f, g, h map C channels to C/8, v maps back; all are 1×1 convolutions. The softmax is
    written out, since fused attention cannot be differentiated twice.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 8, 1)
        self.f, self.g, self.h = (nn.Conv2d(channels, inner, 1, bias=False) for _ in range(3))
        self.v = nn.Conv2d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same."""
        f, g, h = (layer(x).flatten(2) for layer in (self.f, self.g, self.h))
        weights = (g.transpose(1, 2) @ f).softmax(dim=2)  # (N, HW, HW): to position j, from i
        attended = (h @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        result: Tensor = x + self.gamma * self.v(attended)
        return result
