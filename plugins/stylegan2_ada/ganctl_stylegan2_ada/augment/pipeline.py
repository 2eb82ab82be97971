"""The augmentation pipeline: every image transformed with probability p, by a set of names."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ganctl import UserError

from ..mirror import Mirror
from .color import apply_color, color_transform
from .corruption import add_noise, cut_out
from .draws import Draws, PercentileDraws, RandomDraws
from .filtering import apply_filter, band_gains
from .geometry import inverse_transform, warp
from .presets import NAMES
from .wavelets import filter_bank, low_pass


class AugmentationPipeline(nn.Module):
    """Karras et al. 2020b, appendix B; differentiable twice in the images.

    The buffer `p` in [0, 1] is the probability of every single transformation. At 0 images
    come back as they are. Raises `UserError` for unknown names.
    """

    p: Tensor
    low_pass: Tensor
    filter_bank: Tensor

    def __init__(self, names: Iterable[str], p: float = 0.0) -> None:
        super().__init__()
        self.names = frozenset(names)
        unknown = sorted(self.names - set(NAMES))
        if unknown:
            raise UserError(
                f"unknown augmentation {', '.join(unknown)}; there are {', '.join(NAMES)}"
            )
        self.register_buffer("p", torch.tensor(float(p)))
        self._strength = Mirror()
        self.register_buffer("low_pass", low_pass().float(), persistent=False)
        self.register_buffer("filter_bank", filter_bank().float(), persistent=False)

    def forward(self, images: Tensor, percentile: float | None = None) -> Tensor:
        """images (N, 1 or 3, H, W) in [-1, 1] → the same shape, at least float32.

        With a `percentile` in [0, 1] every transformation happens at that percentile of its
        magnitudes, whatever p is. Raises `UserError` for other numbers of channels.
        """
        if images.shape[1] not in (1, 3):
            raise UserError(
                f"images with {images.shape[1]} channels cannot be augmented; 1 (gray) or 3 (RGB) "
                "can"
            )
        if percentile is not None:
            return self._transform(images, PercentileDraws(len(images), percentile))
        p = self.strength()
        return images if p <= 0 else self._transform(images, RandomDraws(len(images), p))

    def strength(self) -> float:
        """p, without asking the device for it at every call."""
        return self._strength.read(self.p)

    def set_strength(self, p: float) -> None:
        self._strength.write(self.p, p)

    def _transform(self, images: Tensor, draws: Draws) -> Tensor:
        height, width = images.shape[2:]
        with torch.autocast(images.device.type, enabled=False):
            images = images.to(torch.promote_types(images.dtype, torch.float32))
            inverse = inverse_transform(draws, self.names, height, width)
            if inverse is not None:
                images = warp(images, inverse, self.low_pass)
            colors = color_transform(draws, self.names)
            if colors is not None:
                images = apply_color(images, colors)
            if "imgfilter" in self.names:
                images = apply_filter(images, band_gains(draws), self.filter_bank)
            if "noise" in self.names:
                images = add_noise(images, draws)
            if "cutout" in self.names:
                images = cut_out(images, draws)
        return images
