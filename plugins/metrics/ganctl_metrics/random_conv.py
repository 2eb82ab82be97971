"""Features from a convolutional network with random weights: no training, no download."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .inputs import fitted

SIDE = 64
"""Images are resized to 64×64 pixels."""
WIDTHS = (3, 32, 48, 64, 112)
"""Channels of the input and of the four levels, at 32×32, 16×16, 8×8 and 4×4 positions."""
SLOPE = 0.2
"""Of the leaky ReLU."""


class RandomConv(nn.Module):
    """Images to the mean and deviation of each channel of each level, over its positions.

    Sets that differ in distribution differ in random features too (Naeem et al. 2020,
    Reliable Fidelity and Diversity Metrics for Generative Models, arXiv:2002.09797,
    section 4), and such features favour no kind of picture as ImageNet's do. They see
    colours, edges and textures of up to 31 of the 64 pixels, not what a picture shows.

    The weights are He-uniform (He et al. 2015, arXiv:1502.01852), from NumPy's MT19937 with
    seed 0, whose stream is fixed for good; uniform numbers come out the same to the last bit
    on every machine, which normal ones, made with its logarithm, need not.
    """

    dim = 2 * sum(WIDTHS[1:])

    def __init__(self) -> None:
        super().__init__()
        source = np.random.RandomState(0)
        self.levels = nn.ModuleList()
        for inputs, outputs in pairwise(WIDTHS):
            level = nn.utils.skip_init(  # type: ignore[no-untyped-call]
                nn.Conv2d, inputs, outputs, 3, stride=2, padding=1
            )
            bound = math.sqrt(6 / ((1 + SLOPE**2) * inputs * 9))  # He's variance
            for parameter, limit in ((level.weight, bound), (level.bias, 0.1)):
                drawn = source.random_sample(parameter.shape) * (2 * limit) - limit
                parameter.data.copy_(torch.from_numpy(drawn))
            self.levels.append(level)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 of 1 (gray), 3 (RGB) or 4 (RGBA) channels → (N, 512) float32."""
        x = fitted(images, WIDTHS[0], SIDE, SIDE)
        pooled: list[Tensor] = []
        for level in self.levels:
            x = leaky_relu(level(x), SLOPE)
            deviation, mean = torch.std_mean(x, dim=(2, 3), correction=0)
            pooled += (mean, deviation)
        return torch.cat(pooled, dim=1)
