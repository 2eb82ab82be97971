"""From latents and labels to styles (Karras et al. 2019, arXiv:1812.04948, figure 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import Linear

LR_MULTIPLIER = 0.01
"""Of all mapping layers: higher rates make them unstable (appendix C)."""

W_AVG_BETA = 0.995
"""How much of the mean style outlives one training batch."""

EPSILON = 1e-8


class MappingNetwork(nn.Module):
    """z (N, z_dim) and one-hot c (N, classes) → styles.

    Latents, and labels embedded as `w_dim` numbers, are each brought to a mean square of 1,
    put side by side and mapped by `layers` layers. `num_ws` copies of the style come out,
    (N, num_ws, w_dim), or one as (N, w_dim) where it is None: that is D's network, which
    has labels alone (z_dim 0) and no mean style.
    """

    w_avg: Tensor

    def __init__(
        self, z_dim: int, classes: int, w_dim: int, num_ws: int | None, layers: int
    ) -> None:
        super().__init__()
        self.z_dim, self.classes, self.num_ws, self.layers = z_dim, classes, num_ws, layers
        embedded = w_dim if classes else 0
        if classes:
            self.embed = Linear(classes, embedded)
        widths = [z_dim + embedded, *[w_dim] * layers]
        for index in range(layers):
            layer = Linear(widths[index], widths[index + 1], "lrelu", LR_MULTIPLIER)
            self.add_module(f"fc{index}", layer)
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        track: bool = True,
    ) -> Tensor:
        """As `ganctl.StyleGenerator.mapping` says; in training, `w_avg` follows these styles."""
        parts = []
        if self.z_dim:
            assert z is not None
            parts.append(_normalised(z.float()))
        if self.classes:
            if c is None:
                raise ValueError(f"the network has {self.classes} classes: give it labels")
            parts.append(_normalised(self.embed(c.float())))
        x = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        for index in range(self.layers):
            x = self.get_submodule(f"fc{index}")(x)
        if self.num_ws is None:
            return x
        if self.training and track:
            with torch.no_grad():
                self.w_avg.copy_(x.mean(0).lerp(self.w_avg, W_AVG_BETA))
        ws = x.unsqueeze(1).expand(-1, self.num_ws, -1)
        if truncation_psi == 1:
            return ws
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        return torch.cat([self.w_avg.lerp(ws[:, :cutoff], truncation_psi), ws[:, cutoff:]], 1)


def _normalised(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()
