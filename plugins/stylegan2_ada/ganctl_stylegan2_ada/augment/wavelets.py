"""The wavelet filters that the augmentations resample and split bands with."""

from __future__ import annotations

import torch
from torch import Tensor

# Scaling filters of Daubechies' least asymmetric wavelets (Daubechies 1992, Ten Lectures on
# Wavelets, table 6.3): orthonormal to their even shifts; the sum is √2.
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
SYM2 = (-0.12940952255126037, 0.2241438680420134, 0.8365163037378079, 0.48296291314453416)


def low_pass() -> Tensor:
    """sym6 with sum 1, float64 (12,)."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    return taps / taps.sum()


def _convolve(a: Tensor, b: Tensor) -> Tensor:
    """Full convolution of rows a (R, K) with b (L,) → (R, K + L - 1)."""
    return torch.nn.functional.conv1d(
        a.unsqueeze(1), b.flip(0).view(1, 1, -1), padding=len(b) - 1
    ).squeeze(1)


def filter_bank(bands: int = 4) -> Tensor:
    """Zero-phase filters for octave bands, the lowest first, that sum to a unit pulse.

    With H(z) of sym2, every octave splits off H(-z) H(-1/z) / 2 and goes on with
    H(z) H(1/z) / 2, dilated: Karras et al. 2020b, appendix B ("image-space filtering").
    float64 (bands, taps); four bands have 43 taps and edges at π/8, π/4 and π/2.
    """
    taps = torch.tensor(SYM2, dtype=torch.float64)
    low = _convolve(taps.view(1, -1), taps.flip(0))[0] / 2
    high = low * torch.tensor([-1.0, 1.0]).repeat(len(taps))[: len(low)]
    bank = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(bands - 1):
        dilated = torch.zeros(len(bank), 2 * bank.shape[1] - 1, dtype=torch.float64)
        dilated[:, ::2] = bank
        lower = _convolve(dilated, low)
        margin = (lower.shape[1] - len(high)) // 2
        highest = torch.nn.functional.pad(high, (margin, margin))
        bank = torch.cat([lower, highest.view(1, -1)])
    return bank
