"""Which resolutions the networks have, and how wide they are there."""

from __future__ import annotations

from typing import NamedTuple

from ganctl import ImageSpec, UserError

from . import StyleGAN2Options, recipes

SMALLEST = 4
"""Shorter side of the constant that G starts from, and of the maps that D ends with."""


class Level(NamedTuple):
    """One resolution: its size in pixels, channels, and whether it is in float16."""

    height: int
    width: int
    channels: int
    float16: bool

    @property
    def name(self) -> str:
        """`b4`, `b8`, …: by the shorter side."""
        return f"b{min(self.height, self.width)}"


def levels(options: StyleGAN2Options, spec: ImageSpec) -> list[Level]:
    """From 4² to the images' own; those of other shapes start at 4×8, 8×4, 4×16 …

    Raises `UserError` unless both sides are 4·2ᵏ and the shorter is at least 8.
    """
    side = min(spec.height, spec.width)
    if side < 2 * SMALLEST or any(s & (s - 1) for s in (spec.height, spec.width)):
        raise UserError(
            f"stylegan2-ada makes images with sides of 8, 16, 32, 64 … pixels, "
            f"not {spec.height}x{spec.width}"
        )
    base = options.channel_base or recipes.settings(options.recipe, spec).channel_base
    lowest_half = max((2 * side) >> options.half_resolutions, 2 * SMALLEST)
    found, short = [], SMALLEST
    while short <= side:
        height, width = spec.height * short // side, spec.width * short // side
        channels = min(max(base // short, 1), options.channel_max)
        found.append(Level(height, width, channels, short >= lowest_half))
        short *= 2
    return found
