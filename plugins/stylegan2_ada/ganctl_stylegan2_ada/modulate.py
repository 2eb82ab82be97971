"""Modulated convolution, and the spread of a batch as a feature."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .precision import own_precision
from .resample import conv2d_resample
from .upfirdn2d import Padding

EPSILON = 1e-8


def modulated_conv2d(
    x: Tensor,
    w: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    f: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    fused: bool = True,
    gain: float = 1.0,
) -> Tensor:
    """(N, I, H, W), w (O, I, Kh, Kw), styles (N, I) → (N, O, H·up/down, W·up/down).

    Weights of each sample's own: w' = s_i·w_oi (modulation) and
    w'' = w'·d_o with d_o = 1/√(Σ_ik w'² + ε) (demodulation); Karras et al. 2020a
    (arXiv:1912.04958), eq. 1 and 3. `gain` scales the result; then `noise`, (H', W') or
    (N, 1, H', W'), is added.

    `fused` builds these weights and convolves the batch as groups of one image; otherwise
    all share w, and activations are scaled by s before and by d after, which is the same number
    and less work on CPUs, or when many samples share few pixels. Σ_ik w'² is Σ_i s_i²·Σ_k w²:
    a matrix product, so that it costs no (N, O, I, Kh, Kw) of its own.

    Where d cancels it, and float16 would overflow, w is scaled to max |w_o| = 1/√(I·Kh·Kw) and s
    to max |s| = 1 (Karras et al. 2020b, arXiv:2006.06676, appendix on mixed precision).
    """
    n, inputs = styles.shape
    if x.shape[:2] != (n, inputs) or w.shape[1] != inputs:
        raise ValueError(f"x {x.shape}, w {w.shape} and styles {styles.shape} do not go together")
    outputs = w.shape[0]
    if demodulate and x.dtype == torch.float16:
        w = w / (w.abs().amax((1, 2, 3), keepdim=True) * math.sqrt(w[0].numel()))
        styles = styles / styles.abs().amax(1, keepdim=True)
    d = demodulation(w, styles) if demodulate else None
    if gain != 1:
        if d is None:
            styles = styles * gain
        else:
            d = d * gain
    if not fused:
        y = x * _maps(styles, x)
        y = conv2d_resample(y, w.to(x.dtype), f, up, down, padding, flip_weight=flip_weight)
        if d is not None and noise is not None:
            return torch.addcmul(noise.to(y.dtype), y, _maps(d, y))
        y = y if d is None else y * _maps(d, y)
    else:
        own = w * styles.reshape(n, 1, inputs, 1, 1)
        own = own if d is None else own * d.reshape(n, outputs, 1, 1, 1)
        # Contiguous: of other layouts PyTorch 2.13 gives wrong gradients of w for one image.
        own = own.to(x.dtype).flatten(0, 1).contiguous()
        y = x.contiguous().reshape(1, n * inputs, *x.shape[2:])
        y = conv2d_resample(y, own, f, up, down, padding, n, flip_weight)
        y = y.reshape(n, outputs, *y.shape[2:])
    return y if noise is None else y + noise.to(y.dtype)


def demodulation(w: Tensor, styles: Tensor) -> Tensor:
    """d (N, O) = 1/√(s²·(Σ_k w²)ᵀ + ε), of w (O, I, Kh, Kw) and styles (N, I)."""
    with own_precision(styles):
        squares = styles.square() @ w.square().sum((2, 3)).t()
        return (squares + EPSILON).rsqrt()


def _maps(scales: Tensor, x: Tensor) -> Tensor:
    """(N, C) → (N, C, 1, 1) of x's type."""
    return scales.to(x.dtype)[:, :, None, None]


def minibatch_stddev(x: Tensor, group: int | None = 4, features: int = 1) -> Tensor:
    """(N, C, H, W) → (N, C + features, H, W), with how much the images of a group differ.

    The batch is split into groups, the channels into `features` parts; C is a multiple of it.
    The standard deviation over a group, √(variance + ε), is averaged over the part's channels
    and positions, and follows as constant maps; Karras et al. 2018 (arXiv:1710.10196),
    section 3. There are M = ⌊N/group⌋ groups, at least 1, and image n is in group n mod M; where
    `group` does not divide N some are larger, none is smaller. None: the whole batch.
    """
    n, channels, height, width = x.shape
    if channels % features or (group is not None and group < 1):
        raise ValueError(f"group ≥ 1 and a divisor of {channels}, not {group} and {features}")
    groups = 1 if group is None else max(n // group, 1)
    parts = x.to(torch.promote_types(x.dtype, torch.float32))
    parts = parts.reshape(n, features, -1, height, width)
    spread = torch.stack([_spread(parts[m::groups]) for m in range(groups)])  # (M, F)
    repeats = math.ceil(n / groups)
    maps = spread.repeat(repeats, 1)[:n, :, None, None].to(x.dtype)
    return torch.cat([x, maps.expand(-1, -1, height, width)], 1)


def _spread(x: Tensor) -> Tensor:
    """(G, F, C/F, H, W) → (F,)."""
    return (x.var(0, unbiased=False) + EPSILON).sqrt().mean((1, 2, 3))
