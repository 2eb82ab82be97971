"""FIR filters for resampling, made ready for `upfirdn2d`."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

Taps = Tensor | Sequence[float] | Sequence[Sequence[float]] | float | None

SEPARABLE_FROM = 8
"""From this length on two passes with a 1-D filter are less work than one with a 2-D filter."""


def setup_filter(
    f: Taps,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: bool | None = None,
) -> Tensor:
    """A filter as float32: (K,) stands for both axes one after the other, (Kh, Kw) for itself.

    `f` is (K,) or (Kh, Kw), a single number for an impulse, or None for the identity. A 1-D
    filter stays 1-D when `separable`; as default when it has at least 8 taps. Otherwise
    it becomes its outer product with itself. `normalize` makes the taps sum to 1, so that
    means are kept; `gain` is that of the whole, both axes together. `flip_filter` reverses
    every axis.

    Raises `ValueError` for other shapes, a 2-D filter with `separable`, and, when normalising,
    taps that sum to 0.
    """
    taps = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32)
    if taps.ndim > 2 or taps.numel() == 0:
        raise ValueError(f"a filter has one or two axes and at least one tap, not {taps.shape}")
    taps = taps.reshape(1) if taps.ndim == 0 else taps
    if separable is None:
        separable = taps.ndim == 1 and len(taps) >= SEPARABLE_FROM
    if separable and taps.ndim == 2:
        raise ValueError("separable=True needs a 1-D filter, not one with two axes")
    if taps.ndim == 1 and not separable:
        taps = torch.outer(taps, taps)
    if normalize:
        total = taps.sum()
        if not total.is_meta and not total:
            raise ValueError("taps that sum to 0 cannot be normalised; use normalize=False")
        taps = taps / total
    if flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    scale: float = gain ** (taps.ndim / 2)
    return taps * scale


def factors(f: Tensor) -> tuple[Tensor, Tensor] | None:
    """(Kh,) and (Kw,) whose outer product f is, to float32's last digit; None if none are found.

    A filter (K,) stands for both. Looked at once per filter, since that waits for the device.
    """
    if f.ndim == 1:
        return f, f
    version = 0 if f.is_inference() else f._version
    known = _FACTORS.get(f)
    if known is None or known[0] != version:
        known = _FACTORS[f] = version, _factors(f)
    return known[1]


_FACTORS: MutableMapping[Tensor, tuple[int, tuple[Tensor, Tensor] | None]] = WeakIdKeyDictionary()


def _factors(f: Tensor) -> tuple[Tensor, Tensor] | None:
    g = f.detach().double().cpu()
    total = g.sum()
    if not total:
        return None
    vertical, horizontal = g.sum(1), g.sum(0) / total
    if (torch.outer(vertical, horizontal) - g).abs().max() > 1e-7 * g.abs().max():
        return None
    return vertical.to(f), horizontal.to(f)
