"""Upsample, filter, downsample: the resampling of images and feature maps in one step.

Signals come with zeros between the samples (up), are filtered (FIR), and every so-manieth
sample is kept (down); Karras et al. 2020a (arXiv:1912.04958), appendix B. The whole is linear
in x, and its transpose is of the same kind: up and down swapped, the filter reversed. So one
function with itself as its derivative can be differentiated as often as one likes, without
the gradients of filters that autograd would form on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from . import upfirdn2d_op
from .fir import Axis, resampled
from .kernels import written_for
from .precision import own_precision

Pair = int | Sequence[int]
"""For both axes, or (x, y): horizontal first."""

Padding = int | Sequence[int]
"""For every side, or (x, y), or (left, right, top, bottom); negative crops."""


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Pair = 1,
    down: Pair = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """(N, C, H, W) → (N, C, H', W') with W' = ⌊(W·up + left + right − Kw) / down⌋ + 1.

    Each sample is followed by up − 1 zeros; then zeros are padded, or samples cropped; then
    follow the filter, `gain` times, without padding of its own, and every `down`-th sample
    is kept, from the first on. H' likewise.

    `f` is (K,), for both axes, or (Kh, Kw), or None for the identity, see `setup_filter`. It is
    convolved with x, or correlated when `flip_filter`; it is a constant and gets no gradient. The
    memory format of x is kept; on CPUs channels_last is two to three times faster.
    """
    upx, upy = pair(up)
    downx, downy = pair(down)
    left, right, top, bottom = sides(padding)
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f"x is (N, C, H, W) of floating point, not {x.shape} of {x.dtype}")
    if f is None:
        f = x.new_ones(1, dtype=torch.float32)
    if f.ndim not in (1, 2) or f.numel() == 0 or f.requires_grad:
        raise ValueError(f"f is (K,) or (Kh, Kw) and needs no gradient, not {f.shape}")
    if f.device != x.device:  # a kernel would read elsewhere
        raise ValueError(f"f is where x is, on {x.device}, not on {f.device}")
    if min(upx, upy, downx, downy) < 1:
        raise ValueError(f"up and down are at least 1, not {up} and {down}")
    vertical = Axis(x.shape[2], f.shape[0], upy, downy, top, bottom)
    horizontal = Axis(x.shape[3], f.shape[-1], upx, downx, left, right)
    if min(vertical.out, horizontal.out) < 1:
        raise ValueError(
            f"{x.shape[2]}×{x.shape[3]}, upsampled {upy}×{upx} and padded by {padding}, is "
            f"smaller than the filter, {f.shape[0]}×{f.shape[-1]}"
        )
    if written_for(x.device):
        return upfirdn2d_op.upfirdn2d(x, f, vertical, horizontal, flip_filter, gain)
    return _call(x, f, vertical, horizontal, flip_filter, gain)


def filter2d(
    x: Tensor,
    f: Tensor | None,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """(N, C, H, W) → the same size, filtered; `padding` is on top of what keeps the size."""
    width, height = filter_size(f)
    extra = (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2)
    return upfirdn2d(x, f, 1, 1, _add(padding, extra), flip_filter, gain)


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    up: Pair = 2,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """(N, C, H, W) → (N, C, H·up, W·up), levels kept; `padding` is of the larger image."""
    upx, upy = pair(up)
    extra = upsample_padding(f, up)
    return upfirdn2d(x, f, up, 1, _add(padding, extra), flip_filter, gain * upx * upy)


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    down: Pair = 2,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """(N, C, H, W) → (N, C, H/down, W/down); `padding` is of the larger image."""
    extra = downsample_padding(f, down)
    return upfirdn2d(x, f, 1, down, _add(padding, extra), flip_filter, gain)


def filter_size(f: Tensor | None) -> tuple[int, int]:
    """Width and height."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def upsample_padding(f: Tensor | None, up: Pair) -> tuple[int, int, int, int]:
    """What makes the size `up` times larger: K − 1 zeros, half of them before.

    Since up − 1 zeros follow the last sample, its side gets that many less.
    """
    (width, height), (upx, upy) = filter_size(f), pair(up)
    return (
        *((width + upx - 1) // 2, (width - upx) // 2),
        *((height + upy - 1) // 2, (height - upy) // 2),
    )


def downsample_padding(f: Tensor | None, down: Pair) -> tuple[int, int, int, int]:
    """What leaves 1/down of the samples, filter taps lying evenly about each group of `down`."""
    (width, height), (downx, downy) = filter_size(f), pair(down)
    return (
        *((width - downx + 1) // 2, (width - downx) // 2),
        *((height - downy + 1) // 2, (height - downy) // 2),
    )


def pair(value: Pair) -> tuple[int, int]:
    """(x, y)."""
    if isinstance(value, int):
        return value, value
    x, y = value
    return x, y


def sides(padding: Padding) -> tuple[int, int, int, int]:
    """(left, right, top, bottom)."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        x, y = padding
        return x, x, y, y
    left, right, top, bottom = padding
    return left, right, top, bottom


def _add(padding: Padding, extra: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(sides(padding), extra, strict=True)]


def _call(x: Tensor, f: Tensor, v: Axis, h: Axis, flip: bool, gain: float) -> Tensor:
    with own_precision(x):  # in x's own type
        return cast(Tensor, _UpFirDn.apply(x, f, v, h, flip, gain))  # type: ignore[no-untyped-call]


class _UpFirDn(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, f: Tensor, v: Axis, h: Axis, flip: bool, gain: float
    ) -> Tensor:
        ctx.save_for_backward(f)
        ctx.geometry = v, h, flip, gain
        return resampled(x, f, v, h, flip, gain)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (f,) = ctx.saved_tensors
        v, h, flip, gain = ctx.geometry
        dx = _call(grads[0], f, v.transposed(), h.transposed(), not flip, gain)
        return dx, None, None, None, None, None
