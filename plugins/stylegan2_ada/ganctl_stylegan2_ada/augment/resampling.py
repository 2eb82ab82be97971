"""Linear resampling of images: twice and half the size, per-image filters, and warps."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, grid_sample, pad

from ..kernels import written_for
from ..upfirdn2d import downsample2d, upsample2d
from .linear import linear


def double(x: Tensor, taps: Tensor) -> Tensor:
    """x (N, C, H, W) → (N, C, 2H, 2W): zeros between pixels, convolved with `taps` (4k of them)."""
    if written_for(x.device):
        return upsample2d(x, taps)
    for axis in (3, 2):
        x = linear(
            x, partial(_up, taps=2 * taps, axis=axis), partial(_down, taps=2 * taps, axis=axis)
        )
    return x


def halve(x: Tensor, taps: Tensor) -> Tensor:
    """A quarter of `double`'s adjoint: x (N, C, 2H, 2W) → (N, C, H, W)."""
    if written_for(x.device):
        return downsample2d(x, taps, flip_filter=True)
    for axis in (2, 3):
        x = linear(x, partial(_down, taps=taps, axis=axis), partial(_up, taps=taps, axis=axis))
    return x


def _up(x: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Even and odd samples apart, each by half of the taps; zeros beyond the borders."""
    size = x.shape[axis]
    taps = taps.flip(0)
    even = _correlate(x, taps[0::2], axis).narrow(axis, 0, size)
    odd = _correlate(x, taps[1::2], axis).narrow(axis, 1, size)
    return torch.stack([even, odd], axis + 1).flatten(axis, axis + 1)


def _down(x: Tensor, taps: Tensor, axis: int) -> Tensor:
    """The adjoint of `_up`."""
    size = x.shape[axis] // 2
    pairs = x.view(*x.shape[:axis], size, 2, *x.shape[axis + 1 :])
    even, odd = pairs.unbind(axis + 1)
    found = _correlate(even, taps[1::2], axis).narrow(axis, 1, size)
    return found + _correlate(odd, taps[0::2], axis).narrow(axis, 0, size)


def _correlate(x: Tensor, taps: Tensor, axis: int) -> Tensor:
    """x with half of len(taps) zeros at both ends of the axis, correlated: one sample longer.

    Depthwise over all planes and padded beforehand: CPU kernels for that are several times as fast
    as those for one channel, or those that pad.
    """
    planes = x.shape[0] * x.shape[1]
    margin = len(taps) // 2
    padded = pad(x, (margin, margin, 0, 0) if axis == 3 else (0, 0, margin, margin))
    weight = taps.to(x).repeat(planes).view((planes, 1, 1, -1) if axis == 3 else (planes, 1, -1, 1))
    found = conv2d(padded.reshape(1, planes, *padded.shape[2:]), weight, groups=planes)
    return found.view(*x.shape[:2], *found.shape[2:])


def filter_images(x: Tensor, taps: Tensor) -> Tensor:
    """Correlate each image with its own separable filter.

    x (N, C, H + K - 1, W + K - 1), taps (N, K) → (N, C, H, W).
    """
    n, channels = x.shape[:2]
    taps = taps.to(x).repeat_interleave(channels, dim=0)
    planes = x.reshape(1, n * channels, *x.shape[2:])
    for shape in ((-1, 1, taps.shape[1], 1), (-1, 1, 1, taps.shape[1])):
        weight = taps.view(shape)
        planes = linear(
            planes,
            partial(conv2d, weight=weight, groups=n * channels),
            partial(conv_transpose2d, weight=weight, groups=n * channels),
        )
    return planes.view(n, channels, *planes.shape[2:])


def sample(x: Tensor, grid: Tensor) -> Tensor:
    """Bilinear `grid_sample` (zeros outside, corners not aligned), differentiable in x alone.

    x (N, C, H, W), grid (N, h, w, 2) → (N, C, h, w).
    """
    like = x.new_empty(()).expand(x.shape)  # only its shape is read

    def forward(images: Tensor) -> Tensor:
        return grid_sample(images, grid, mode="bilinear", align_corners=False)

    def adjoint(gradient: Tensor) -> Tensor:
        gradients = torch.ops.aten.grid_sampler_2d_backward(
            gradient.contiguous(), like, grid, 0, 0, False, [True, False]
        )
        spread: Tensor = gradients[0]
        return spread

    return linear(x, forward, adjoint)
