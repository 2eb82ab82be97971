"""How images come to the side that Inception looks at: three definitions, percents of FID apart."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .inception import SIDE

Resize = Literal["pytorch-fid", "tf1", "clean"]


def for_inception(images: Tensor, resize: Resize) -> Tensor:
    """(N, C, H, W) uint8 → (N, 3, 299, 299) float32 in about [-1, 1].

    `pytorch-fid` (Seitzer 2020): bilinear between half-pixel centres, no antialiasing, then
    x / 127.5 − 1. `tf1`: TensorFlow 1's bilinear resize, whose pixels start at the corner, as in
    the published graph, then (x − 128) / 128. `clean` (Parmar et al. 2022, arXiv:2104.11222):
    bicubic and antialiased as Pillow does it, clamped, then (x − 128) / 128.
    """
    x = as_rgb(images).float()
    if resize == "pytorch-fid":
        x = interpolate(x / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return 2 * x - 1
    if resize == "tf1":
        rows, columns = _corner_bilinear(x.shape[2]), _corner_bilinear(x.shape[3])
        x = rows.to(x.device) @ x @ columns.to(x.device).T
    elif x.shape[2:] != (SIDE, SIDE):
        x = interpolate(x, size=(SIDE, SIDE), mode="bicubic", antialias=True)
        x = x.clamp(0, 255)
    return (x - 128) / 128


def as_rgb(images: Tensor) -> Tensor:
    """(N, C, H, W) with C 1, 3 or 4 → (N, 3, H, W): gray three times; alpha left out."""
    if images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    return images[:, :3]


def _corner_bilinear(size: int) -> Tensor:
    """(299, size): each row holds the two weights of an output pixel at i · size / 299."""
    position = torch.arange(SIDE, dtype=torch.float32) * (size / SIDE)
    low = position.floor().long().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    share = position - low
    matrix = torch.zeros(SIDE, size)
    index = torch.arange(SIDE)
    matrix[index, low] += 1 - share
    matrix[index, high] += share
    return matrix
