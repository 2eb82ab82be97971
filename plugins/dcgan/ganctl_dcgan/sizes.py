"""Which image sizes the networks can make, and through which feature maps."""

from __future__ import annotations

from ganctl import ImageSpec, UserError

LEVELS = range(2, 6)
"""How often sizes may be doubled."""


def feature_maps(spec: ImageSpec) -> list[tuple[int, int]]:
    """(height, width) of every map, the smallest first, the images last.

    The smallest has sides of 4 to 7 pixels, or 8 and more for the longer side of images that
    are not square: 64x64 begins at 4x4, 96x96 at 6x6, 28x28 at 7x7, 96x128 at 6x8.
    Raises `UserError` for other sizes.
    """
    height, width = spec.height, spec.width
    for levels in LEVELS:
        factor = 2**levels
        if height % factor == 0 and width % factor == 0 and 4 <= min(height, width) // factor < 8:
            return [(height >> n, width >> n) for n in range(levels, -1, -1)]
    raise UserError(
        f"resolution: dcgan cannot make {height}x{width}: both sides must be a multiple of 4, 8, "
        "16 or 32, the shorter one 4 to 7 times it (such as 28, 32, 48, 64, 96, 128, 96x128)"
    )
