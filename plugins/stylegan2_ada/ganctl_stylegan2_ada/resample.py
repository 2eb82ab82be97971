"""Convolution of an image that is resampled on the way, by the shortest path.

Upsampling by `up`, convolution with w, downsampling by `down`, each resampling with the filter
f. Filters commute, so that upsampling and w become one transposed convolution, and w and
downsampling one strided convolution; Karras et al. 2020a (arXiv:1912.04958), appendix B.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .upfirdn2d import (
    Padding,
    downsample_padding,
    sides,
    upfirdn2d,
    upsample_padding,
)


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """(N, I, H, W) * (O, I/groups, Kh, Kw) → (N, O, H·up/down, W·up/down) for Kh//2 padding.

    `padding` is of the upsampled image, on top of what the filter needs. f is as for
    `upfirdn2d` and not used where up = down = 1. `flip_weight` correlates, as
    `torch.nn.functional.conv2d` does, and otherwise w is convolved. Upsampling keeps levels:
    its gain is up².
    """
    kernel = w.shape[2:]
    pad = list(sides(padding))
    if up > 1:
        pad = [a + b for a, b in zip(pad, upsample_padding(f, up), strict=True)]
    if down > 1:
        pad = [a + b for a, b in zip(pad, downsample_padding(f, down), strict=True)]
    if up == 1:
        if down > 1 and max(kernel) == 1:  # on the smaller image
            x = upfirdn2d(x, f, 1, down, pad, flip_filter)
            return _convolve(x, w, 1, [0] * 4, groups, flip_weight)
        if down > 1:
            x, pad = upfirdn2d(x, f, 1, 1, pad, flip_filter), [0] * 4
        return _convolve(x, w, down, pad, groups, flip_weight)
    if max(kernel) == 1:  # on the smaller image
        x = _convolve(x, w, 1, [0] * 4, groups, flip_weight)
        x = upfirdn2d(x, f, up, 1, pad, flip_filter, up**2)
    else:
        x = _upsample_convolve(x, w, f, up, pad, groups, flip_weight, flip_filter)
    return upfirdn2d(x, f, 1, down, 0, flip_filter) if down > 1 else x


def _convolve(
    x: Tensor, w: Tensor, stride: int, pad: list[int], groups: int, flip_weight: bool
) -> Tensor:
    left, right, top, bottom = pad
    common = top, left
    if common != (bottom, right) or min(common) < 0:
        x, common = F.pad(x, pad), (0, 0)
    return F.conv2d(x, w if flip_weight else _flip(w), None, stride, common, groups=groups)


def _upsample_convolve(
    x: Tensor,
    w: Tensor,
    f: Tensor | None,
    up: int,
    pad: list[int],
    groups: int,
    flip_weight: bool,
    flip_filter: bool,
) -> Tensor:
    """First w, as a transposed convolution, then f.

    With w first, the image has K − 1 samples more before, where x[0] begins to show, and
    K − up more behind, as the up − 1 trailing zeros are not there; that much less is padded.
    Where less than nothing is left the transposed convolution crops.
    """
    height, width = w.shape[2:]
    left, right, top, bottom = (
        *(pad[0] - (width - 1), pad[1] - (width - up)),
        *(pad[2] - (height - 1), pad[3] - (height - up)),
    )
    # A transposed convolution convolves, and has its inputs first.
    w = _flip(w) if flip_weight else w
    w = w.reshape(groups, -1, *w.shape[1:]).transpose(1, 2).flatten(0, 1)
    cut_y, cut_x = max(-max(top, bottom), 0), max(-max(left, right), 0)
    x = F.conv_transpose2d(x, w, None, up, (cut_y, cut_x), groups=groups)
    pad = [left + cut_x, right + cut_x, top + cut_y, bottom + cut_y]
    return upfirdn2d(x, f, 1, 1, pad, flip_filter, up**2)


def _flip(w: Tensor) -> Tensor:
    return w.flip(2, 3)
