"""Colour transformations, composed to one 4×4 matrix per image.

Karras et al. 2020b, appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from .draws import Draws
from .matrices import gray_projection, identity, rotation_about_gray, scaling, translation
from .sending import sent

BRIGHTNESS_STD = 0.2  # of a range of 2
CONTRAST_STD = 0.5  # octaves
SATURATION_STD = 1.0  # octaves


def color_transform(draws: Draws, names: Collection[str]) -> Tensor | None:
    """(N, 4, 4) for columns (r, g, b, 1), or None when `names` has no colour."""
    steps: list[Tensor] = []
    gray = gray_projection()
    if "brightness" in names:
        offset = draws.gate(draws.normal() * BRIGHTNESS_STD, 0)
        steps.append(translation([offset] * 3))
    if "contrast" in names:
        factor = draws.gate(torch.exp2(draws.normal() * CONTRAST_STD), 1)
        steps.append(scaling([factor] * 3))
    if "lumaflip" in names:
        flip = draws.gate((draws.uniform() * 2).floor(), 0).view(-1, 1, 1)
        steps.append(identity(draws.n, 4) - 2 * flip * gray)
    if "hue" in names:
        angle = draws.gate((draws.uniform() * 2 - 1) * math.pi, 0)
        steps.append(rotation_about_gray(angle))
    if "saturation" in names:
        factor = draws.gate(torch.exp2(draws.normal() * SATURATION_STD), 1)
        steps.append(gray + (identity(draws.n, 4) - gray) @ scaling([factor] * 3))
    if not steps:
        return None
    matrix = identity(draws.n, 4)
    for step in steps:
        matrix = step @ matrix
    return matrix


def apply_color(images: Tensor, matrix: Tensor) -> Tensor:
    """images (N, 3 or 1, H, W), matrix (N, 4, 4) → the same shape.

    Gray images are taken for (v, v, v), and the mean of the result's channels is theirs.
    """
    n, channels, height, width = images.shape
    linear, offset = matrix[:, :3, :3], matrix[:, :3, 3:]
    if channels == 1:
        linear = linear.sum(2, keepdim=True).mean(1, keepdim=True)
        offset = offset.mean(1, keepdim=True)
    pixels = images.reshape(n, channels, height * width)
    return torch.baddbmm(sent(offset, images), sent(linear, images), pixels).view(images.shape)
