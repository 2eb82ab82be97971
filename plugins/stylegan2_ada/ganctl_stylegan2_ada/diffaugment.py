"""Differentiable augmentation: D sees every image, real or generated, randomly changed.

Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training",
arXiv:2006.10738: colour, translation and cutout, each of every image and of any strength in its
range. All are linear or affine in the pixels, so R1 can differentiate through them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from ganctl import Augmenter, random

from .augment.linear import linear


class DiffAugmenter(Augmenter):
    """The transformations of `policy`, names of `TRANSFORMATIONS`, one after another.

    For any number of channels, an alpha channel being one like the others, and any size.
    """

    def __init__(self, policy: Iterable[str]) -> None:
        super().__init__()
        self.policy = tuple(policy)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.policy:
            x = TRANSFORMATIONS[name](x)
        return x


def random_color(x: Tensor) -> Tensor:
    """Brightness in [-0.5, 0.5), saturation in [0, 2), contrast in [0.5, 1.5)."""
    uniform = random.rand(len(x), 3, device=x.device).to(x.dtype)
    brightness, saturation, contrast = uniform.view(-1, 3, 1, 1, 1).unbind(1)
    return adjust_color(x, brightness - 0.5, saturation * 2, contrast + 0.5)


def random_translation(x: Tensor) -> Tensor:
    """By whole pixels, at most an eighth of height and width."""
    down, right = (_integers(x, 2 * (side // 8) + 1) - side // 8 for side in x.shape[2:])
    return translate(x, torch.stack([down, right], 1))


def random_cutout(x: Tensor) -> Tensor:
    """Of half the height and width, rounded down; the centre is anywhere in the image.

    It lies on a pixel where that half is odd, otherwise between pixels or on the border.
    """
    height, width = (side // 2 for side in x.shape[2:])
    top = _integers(x, x.shape[2] + 1 - height % 2) - height // 2
    left = _integers(x, x.shape[3] + 1 - width % 2) - width // 2
    return cut_out(x, torch.stack([top, left], 1), height, width)


TRANSFORMATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": random_color,
    "translation": random_translation,
    "cutout": random_cutout,
}
"""(N, C, H, W) in [-1, 1] → the same shape and dtype, each image by draws of its own."""


def adjust_color(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """x (N, C, H, W); the others (N, 1, 1, 1). 0, 1 and 1 leave an image as it is.

    Brightness is added; saturation scales the channels about their mean at each pixel; then
    contrast scales everything about the image's mean. All in one here: saturation leaves the
    image's mean as it is.
    """
    gray = x.mean(1, keepdim=True)
    mean = gray.mean((2, 3), keepdim=True)
    unscaled = contrast * (1 - saturation) * gray + (1 - contrast) * mean + brightness
    return contrast * saturation * x + unscaled


def translate(x: Tensor, shift: Tensor) -> Tensor:
    """x (N, C, H, W), shift (N, 2) int64, pixels down and to the right. Zeros come in."""
    return linear(x, partial(_move, shift=shift), partial(_move, shift=-shift))


def cut_out(x: Tensor, corner: Tensor, height: int, width: int) -> Tensor:
    """x (N, C, H, W) with a rectangle of zeros, which may lie outside in parts.

    corner (N, 2) int64 is its first row and column.
    """
    row, column = _coordinates(x, corner)
    return x.masked_fill(_within(row, column, height, width), 0)


def _move(x: Tensor, shift: Tensor) -> Tensor:
    height, width = x.shape[2:]
    row, column = _coordinates(x, shift)
    source = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    moved = x.flatten(2).gather(2, source.flatten(2).expand(-1, x.shape[1], -1))
    return moved.view(x.shape).masked_fill_(~_within(row, column, height, width), 0)


def _coordinates(x: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, 1, H, 1) and columns (N, 1, 1, W) of the pixels, counted from origin (N, 2)."""
    row, column = (torch.arange(side, device=x.device) for side in x.shape[2:])
    down, right = origin.view(-1, 2, 1, 1, 1).unbind(1)
    return row.view(-1, 1) - down, column - right


def _within(row: Tensor, column: Tensor, height: int, width: int) -> Tensor:
    return (row >= 0) & (row < height) & (column >= 0) & (column < width)


def _integers(x: Tensor, count: int) -> Tensor:
    """(N,) int64, uniform in [0, count)."""
    return (random.rand(len(x), device=x.device) * count).long()
