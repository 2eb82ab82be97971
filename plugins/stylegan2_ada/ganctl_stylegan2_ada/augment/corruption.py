"""Additive noise and cutout (Karras et al. 2020b, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganctl import random

from .draws import Draws
from .sending import sent

NOISE_STD = 0.1
CUTOUT_SIZE = 0.5  # shares of width and height


def add_noise(images: Tensor, draws: Draws) -> Tensor:
    """(N, C, H, W) with normal noise, whose deviation is half-normal for each image."""
    deviation = draws.gate(draws.half_normal() * NOISE_STD, 0)
    field = random.randn(draws.n, *images.shape[1:], device=images.device)
    return images + field.to(images) * sent(deviation, images).view(-1, 1, 1, 1)


def cut_out(images: Tensor, draws: Draws) -> Tensor:
    """(N, C, H, W) with a rectangle of zeros, half as wide and high as the image."""
    height, width = images.shape[2:]
    center_x, center_y = draws.uniform(), draws.uniform()
    size = draws.gate(torch.full((draws.n,), CUTOUT_SIZE), 0)
    beyond_x = _beyond(center_x, size, width).view(-1, 1, 1, width)
    beyond_y = _beyond(center_y, size, height).view(-1, 1, height, 1)
    return images * sent(beyond_x | beyond_y, images)


def _beyond(center: Tensor, size: Tensor, side: int) -> Tensor:
    """(N, side): is the middle of the pixel at least half of `size` away from `center`?"""
    middles = (torch.arange(side) + 0.5) / side
    return (middles - center.view(-1, 1)).abs() >= size.view(-1, 1) / 2
