"""Pixel blitting and general geometric transformations, composed and executed once.

Karras et al. 2020b, appendix B: all of them are 3×3 matrices; their product is executed by
reflecting the borders, doubling the resolution with a sym6 wavelet, bilinear sampling, and
halving the resolution with the same wavelet. sym6 being orthogonal, whole pixels come out exactly;
being only nearly symmetric, it shifts flips and quarter turns by up to a tenth of a pixel, here as
in the reference.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn.functional import pad

from .draws import Draws
from .matrices import identity, rotation, scaling, translation
from .resampling import double, halve, sample
from .sending import sent

XINT_MAX = 0.125  # shares of width and height
SCALE_STD = 0.2  # octaves
ANISO_STD = 0.2  # octaves
XFRAC_STD = 0.125  # shares of width and height


def inverse_transform(
    draws: Draws, names: Collection[str], height: int, width: int
) -> Tensor | None:
    """Where every output pixel comes from: (N, 3, 3), or None when `names` has no geometry.

    Acts on pixels (x, y, 1) relative to the image's centre, x to the right and y down. The
    inverse of a product in the paper's order is the product of the inverses from the left on.
    """
    steps: list[Tensor] = []
    if "xflip" in names:
        flip = draws.gate((draws.uniform() * 2).floor(), 0)
        steps.append(scaling([1 - 2 * flip, torch.ones_like(flip)]))
    if "rotate90" in names:
        turns = draws.gate((draws.uniform() * 4).floor(), 0)
        steps.append(rotation(turns * (math.pi / 2)))
    if "xint" in names:
        steps.append(_integer_translation(draws, height, width))
    if "scale" in names:
        factor = draws.gate(torch.exp2(draws.normal() * SCALE_STD), 1)
        steps.append(scaling([1 / factor, 1 / factor]))
    if "rotate" in names:
        steps.append(_rotation(draws))
    if "aniso" in names:
        factor = draws.gate(torch.exp2(draws.normal() * ANISO_STD), 1)
        narrower = 1 / factor
        steps.append(scaling([narrower, 1 / narrower]))
    if "rotate" in names and not draws.fixed:  # a percentile describes one rotation, not two
        steps.append(_rotation(draws))
    if "xfrac" in names:
        shift_x, shift_y = draws.normal() * XFRAC_STD, draws.normal() * XFRAC_STD
        gate = draws.gate(torch.ones(draws.n), 0)
        steps.append(translation([-gate * shift_x * width, -gate * shift_y * height]))
    if not steps:
        return None
    inverse = identity(draws.n, 3)
    for step in steps:
        inverse = inverse @ step
    return inverse


def _rotation(draws: Draws) -> Tensor:
    angle = draws.gate((draws.uniform() * 2 - 1) * math.pi, 0, rotation=True)
    return rotation(angle)


def _integer_translation(draws: Draws, height: int, width: int) -> Tensor:
    shares = [(draws.uniform() * 2 - 1) * XINT_MAX for _ in range(2)]
    gate = draws.gate(torch.ones(draws.n), 0)
    return translation([-gate * (shares[0] * width).round(), -gate * (shares[1] * height).round()])


def margins(inverse: Tensor, height: int, width: int, taps: int) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) pixels that the images lack for `inverse` (N, 3, 3).

    What the corners of the output reach, and half of a filter with `taps` taps beyond; reflection
    can give no more than the side less one.
    """
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=inverse.dtype)
    signs = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=inverse.dtype)
    corners = torch.cat([signs * half, torch.ones(4, 1, dtype=inverse.dtype)], dim=1)
    reached = (inverse[:, :2] @ corners.T).transpose(0, 1).flatten(1)  # (2, 4N): x and y
    most = torch.tensor([width - 1.0, height - 1.0], dtype=inverse.dtype)
    extra = taps // 2 - half
    before, after = (
        (bound + extra).clamp_min(0).minimum(most).ceil().int().tolist()
        for bound in ((-reached).amax(1), reached.amax(1))
    )
    return before[0], after[0], before[1], after[1]


def warp(images: Tensor, inverse: Tensor, taps: Tensor) -> Tensor:
    """images (N, C, H, W), inverse (N, 3, 3), taps of the low-pass (12,) → (N, C, H, W)."""
    height, width = images.shape[2:]
    left, right, top, bottom = margins(inverse, height, width, len(taps))
    images = double(pad(images, (left, right, top, bottom), mode="reflect"), taps)

    edge = len(taps) // 4  # pixels around the output that halving needs
    out_height, out_width = 2 * (height + 2 * edge), 2 * (width + 2 * edge)

    # From pixels to samples at twice the resolution, both relative to the middle. The wavelet's
    # weight is half a sample off the middle of its taps, so that is where samples lie.
    samples = _shift(-0.5, -0.5) @ _scale(2.0, 2.0)
    pixels = _scale(0.5, 0.5) @ _shift(0.5, 0.5)
    padded = _shift((left - right) / 2, (top - bottom) / 2)  # whose middle is elsewhere
    from_unit = _scale(out_width / 2, out_height / 2)  # grid_sample counts from -1 to 1
    to_unit = _scale(2 / images.shape[3], 2 / images.shape[2])
    theta = to_unit @ (samples @ (padded @ inverse) @ pixels) @ from_unit
    grid = sampling_grid(sent(theta, images), out_height, out_width)
    return halve(sample(images, grid), taps)[:, :, edge:-edge, edge:-edge]


def sampling_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """theta (N, 3, 3) on coordinates in [-1, 1] → (N, height, width, 2) for `grid_sample`.

    What `affine_grid` does, but for float32 that is a matrix product, whose rounding depends on
    the machine and, with TF32, costs whole pixels. Here y's term is added in one rounding, as
    by an FMA, on every device; the reference's numbers come from a CPU that did so too.
    """
    x = _middles(width, theta).view(1, 1, -1)
    y = _middles(height, theta).view(1, -1, 1)
    axes = []
    for row in theta[:, :2].unbind(1):
        along_x, along_y, offset = (value.view(-1, 1, 1) for value in row.unbind(1))
        if theta.device.type == "cpu":  # whose addcmul rounds twice
            sums = (along_x * x).double() + along_y.double() * y.double()
            axes.append(sums.to(theta.dtype) + offset)
        else:
            axes.append(torch.addcmul(along_x * x, along_y, y) + offset)
    return torch.stack(axes, dim=3)


def _middles(count: int, like: Tensor) -> Tensor:
    """(count,) middles of as many equal parts of [-1, 1]."""
    ends = torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device)
    return ends * (count - 1) / count


def _scale(x: float, y: float) -> Tensor:
    """(3, 3)."""
    return scaling([torch.tensor([x]), torch.tensor([y])])[0]


def _shift(x: float, y: float) -> Tensor:
    """(3, 3)."""
    return translation([torch.tensor([x]), torch.tensor([y])])[0]
