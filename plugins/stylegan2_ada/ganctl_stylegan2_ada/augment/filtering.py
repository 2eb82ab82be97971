"""Image-space filtering: random gains for four octave bands.

Karras et al. 2020b, appendix B.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .draws import Draws
from .resampling import filter_images
from .sending import sent

GAIN_STD = 1.0  # octaves

# The power that natural images are expected to have per band, as 1/f² would.
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)


def band_gains(draws: Draws) -> Tensor:
    """(N, 4): a gain per band, each with a common factor that keeps the expected power.

    As in the paper the factors are found band by band, as if the others' gains were 1.
    """
    power = torch.tensor(EXPECTED_POWER, dtype=torch.float64)
    gains = torch.ones(draws.n, len(power), dtype=torch.float64)
    for band in range(len(power)):
        factors = torch.ones_like(gains)
        factors[:, band] = draws.gate(torch.exp2(draws.normal() * GAIN_STD), 1).double()
        gains = gains * factors / (power * factors.square()).sum(1, keepdim=True).sqrt()
    return gains


def apply_filter(images: Tensor, gains: Tensor, bank: Tensor) -> Tensor:
    """images (N, C, H, W), gains (N, bands), bank (bands, taps) → (N, C, H, W).

    Borders are reflected, more than once where the image is smaller than half the filter.
    """
    taps = sent(gains, images) @ bank.to(images)
    return filter_images(reflect(images, bank.shape[1] // 2), taps)


def reflect(images: Tensor, margin: int) -> Tensor:
    """Reflect all four borders of (N, C, H, W); `pad` alone allows a margin of the side less 1."""
    while margin:
        step = min(margin, *(max(side - 1, 1) for side in images.shape[2:]))
        images = pad(images, (step, step, step, step), mode="reflect")
        margin -= step
    return images
