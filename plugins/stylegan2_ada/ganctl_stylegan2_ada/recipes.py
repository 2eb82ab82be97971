"""The settings that StyleGAN2-ADA was published with, and how `auto` finds its own.

Figures of Karras et al. 2020a (arXiv:1912.04958), appendix B, and 2020b (arXiv:2006.06676),
appendix B and table 1. Importing this module imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ganctl import ImageSpec

Name = Literal["auto", "stylegan2", "paper256", "paper512", "paper1024", "cifar"]
Blocks = Literal["skip", "resnet", "orig"]

BETAS = (0.0, 0.99)
"""Adam's, of both players."""

FULL = 32768
"""Channels times resolution of the large networks; half of it below 512²."""


@dataclass(frozen=True)
class Settings:
    """One row: sizes of the networks, and how they are trained."""

    kimg: float
    batch: int
    mbstd_group: int
    channel_base: int
    lr: float
    r1_gamma: float
    ema_kimg: float
    ema_rampup: float | None
    mapping_layers: int
    d_arch: Blocks = "resnet"
    pl_weight: float = 2.0
    style_mixing: float = 0.9


PUBLISHED: dict[str, Settings] = {
    "stylegan2": Settings(25000, 32, 4, FULL, 0.002, 10, 10, None, 8),
    "paper256": Settings(25000, 64, 8, FULL // 2, 0.0025, 1, 20, None, 8),
    "paper512": Settings(25000, 64, 8, FULL, 0.0025, 0.5, 20, None, 8),
    "paper1024": Settings(25000, 32, 4, FULL, 0.002, 2, 10, None, 8),
    "cifar": Settings(100000, 64, 32, FULL, 0.0025, 0.01, 500, 0.05, 2, "orig", 0, 0),
}


def settings(name: Name, spec: ImageSpec, batch: int | None = None) -> Settings:
    """The row of that name. `auto` reckons with the batch that is really used.

    Of images that are not square the shorter side decides about the networks and the rates,
    and the area about γ and the batch.
    """
    if name != "auto":
        return PUBLISHED[name]
    side, area = min(spec.height, spec.width), spec.height * spec.width
    if batch is None:
        batch = max(min(int(4096 // area**0.5), 32), 1)
    return Settings(
        kimg=25000,
        batch=batch,
        mbstd_group=4,
        channel_base=FULL if side >= 512 else FULL // 2,
        lr=0.002 if side >= 1024 else 0.0025,
        r1_gamma=0.0002 * area / batch,
        ema_kimg=batch * 10 / 32,
        ema_rampup=0.05,
        mapping_layers=2,
    )
