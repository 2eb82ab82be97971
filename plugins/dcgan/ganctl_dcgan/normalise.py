"""Pixels in units of the training set's own mean and deviation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganctl import Reals, UserError


class Normalise(nn.Module):
    """u = (x − mean) / deviation per channel; x is in [-1, 1].

    The two are buffers, so that a checkpoint holds them; before `fit` u equals x.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def fit(self, reals: Reals) -> None:
        """Take both from the training set. Raises `UserError` when a channel never varies."""
        mean, deviation = reals.statistics()
        if not deviation.all():
            flat = ", ".join(str(n) for n, value in enumerate(deviation.tolist()) if not value)
            raise UserError(
                f"arch.normalisation: dataset: channel {flat} of the set has deviation 0, all its "
                "pixels are equal; use --arch.normalisation half, or other pictures"
            )
        self.mean.copy_(mean.view(-1, 1, 1))
        self.deviation.copy_(deviation.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation

    def inverse(self, t: Tensor) -> Tensor:
        """t in (-1, 1) → pixels: 0 is the mean colour, and both black and white are in reach.

        In units of u this stretches t to the larger of |u(black)| and |u(white)|. The nearer
        end is overshot; what is beyond it is clamped when images are made, not in training,
        where the discriminator has to see it.
        """
        x = self.mean + t * (1 + self.mean.abs())
        return x if self.training else x.clamp(-1, 1)
