"""Images of any size and kind, as a feature extractor wants them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def fitted(images: Tensor, channels: int, height: int, width: int) -> Tensor:
    """(N, C, H, W) uint8 → (N, channels, height, width) float32 in [-1, 1].

    Resized by antialiased bilinear interpolation, without regard to the proportions.
    """
    scaled = images.to(torch.float32, copy=True).div_(127.5).sub_(1)
    images = _with_channels(scaled, channels)
    if images.shape[2:] != (height, width):
        images = interpolate(images, (height, width), mode="bilinear", antialias=True)
    return images.expand(-1, channels, -1, -1)


def _with_channels(images: Tensor, channels: int) -> Tensor:
    """Without alpha (the second of 2 channels, the fourth of 4), and gray as the mean of RGB.

    Gray images that are wanted as RGB stay gray here: they are cheaper to resize so.
    """
    opaque = images[:, : 1 if images.shape[1] < 3 else 3]
    return opaque.mean(dim=1, keepdim=True) if channels == 1 else opaque
