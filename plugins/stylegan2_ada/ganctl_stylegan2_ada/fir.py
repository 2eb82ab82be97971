"""One pass of zeros, filter and samples in plain PyTorch, and the geometry of an axis."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import SEPARABLE_FROM

FEW = 6
"""On CPUs, up to so many channels channels_last gains more than going there and back costs."""


class Axis(NamedTuple):
    """One axis: y[o] = Σ_k g[k]·u[o·down + k − before], where u[i·up] = x[i] and 0 elsewhere."""

    size: int
    taps: int
    up: int
    down: int
    before: int
    after: int

    @property
    def out(self) -> int:
        return (self.size * self.up + self.before + self.after - self.taps) // self.down + 1

    def transposed(self) -> Axis:
        """The axis of the gradient: dx[i] = Σ_o dy[o]·g[i·up + before − o·down].

        With g' as g reversed, k' = K − 1 − k, this is the sum above with `before` = K − 1 − before;
        `after` is such that exactly the samples of x come out.
        """
        before = self.taps - 1 - self.before
        after = (self.size - 1) * self.up + self.taps - self.out * self.down - before
        return Axis(self.out, self.taps, self.down, self.up, before, after)


def resampled(x: Tensor, f: Tensor, v: Axis, h: Axis, flip: bool, gain: float) -> Tensor:
    """x (N, C, H, W) with f, (K,) or (Kh, Kw), along the vertical and the horizontal axis."""
    g = f.to(torch.promote_types(x.dtype, torch.float32))
    g = g if flip else g.flip(list(range(g.ndim)))
    if g.ndim == 1 and len(g) < SEPARABLE_FROM:
        g = torch.outer(g, g)
    correlate = _correlate if g.ndim == 2 else _correlate_twice
    if x.device.type == "cpu" and 1 < x.shape[1] <= FEW and x.is_contiguous():
        x = x.contiguous(memory_format=torch.channels_last)
        return correlate(x, g, gain, v, h).contiguous()
    return correlate(x, g, gain, v, h)


def _correlate_twice(x: Tensor, g: Tensor, gain: float, v: Axis, h: Axis) -> Tensor:
    """Correlation with g (K,) along both axes; first along that which leaves fewer samples."""
    still = Axis(0, 1, 1, 1, 0, 0)
    if v.out * h.size <= h.out * v.size:
        return _correlate(_correlate(x, g[:, None], gain, v, still), g[None], 1, still, h)
    return _correlate(_correlate(x, g[None], gain, still, h), g[:, None], 1, v, still)


def _correlate(x: Tensor, g: Tensor, gain: float, v: Axis, h: Axis) -> Tensor:
    """Correlation with gain·g, (Kh, Kw), in the steps of the axes; zeros are never inserted.

    Without up it is a strided depthwise convolution; with up it is a transposed one, cropped
    at its ends, of which `down` keeps a part.
    """
    channels = x.shape[1]
    g = (g * gain).to(x.dtype)
    if v.up == h.up == 1:
        padding = v.before, h.before
        if padding != (v.after, h.after) or min(padding) < 0:
            x, padding = F.pad(x, (h.before, h.after, v.before, v.after)), (0, 0)
        kernel = g.expand(channels, 1, -1, -1)
        return F.conv2d(x, kernel, None, (v.down, h.down), padding, groups=channels)
    # Transposed convolution gives Σ_i x[i]·g[K − 1 − (o − i·up)] from the first o that x[0]
    # reaches to the last that x[-1] reaches: K − 1 − before and K − up − after too many.
    kernel = g.flip(0, 1).expand(channels, 1, -1, -1)
    cut, more, rest = [], [], []
    for axis in (v, h):
        first, last = axis.taps - 1 - axis.before, axis.taps - axis.up - axis.after
        both, longer = max(min(first, last), 0), 0
        if first >= 0 and 0 < first - last < axis.up:  # it can make the end that much longer
            both, longer = first, first - last
        cut.append(both)
        more.append(longer)
        rest.append((both - first, both - longer - last))
    y = F.conv_transpose2d(x, kernel, None, (v.up, h.up), cut, more, channels)
    if any(map(any, rest)):
        y = F.pad(y, (*rest[1], *rest[0]))
    return y[:, :, :: v.down, :: h.down] if v.down * h.down > 1 else y
