"""Sliced Wasserstein distance between patches of two sets of images, level by level."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from ganctl import Evaluator, ImageBatch, UserError

from . import SWDOptions

SIDE = 7
"""Patches are 7×7 pixels."""
SMALLEST = 16
"""Levels of the pyramid end where the shorter side would fall below this."""
QUANTILES = 4096
"""Sorted projections are compared at so many quantiles: the sides need not be of one size."""


class SlicedWasserstein(Evaluator):
    """swd, the mean over levels, and swd-SIZE of each, times 1,000 as in Karras et al. 2018.

    Patches around random points are brought to mean 0 and deviation 1 per channel over the
    whole side, projected on random directions, sorted, and compared. The points follow from
    the image alone, so that neither the order of the images nor the batches' size matters.
    """

    def __init__(self, options: SWDOptions) -> None:
        self._options = options
        self._patches: dict[bool, list[list[Tensor]]] = {True: [], False: []}
        self._shape: torch.Size | None = None
        self._sizes: list[int] = []
        self._reals: list[Tensor] = []

    def update(self, batch: ImageBatch, real: bool) -> None:
        self._shape = self._shape or batch.images.shape[1:]
        if batch.images.shape[1:] != self._shape:
            shapes = (self._shape, batch.images.shape[1:])
            sizes = " and ".join(f"{h}x{w} with {c} channels" for c, h, w in shapes)
            raise UserError(f"swd: compares images of one size and kind, not {sizes}")
        levels = laplacian_pyramid(batch.images.float())
        self._sizes = [min(level.shape[2:]) for level in levels]
        keys = content_keys(batch.images)
        self._patches[real].append(
            [cut(level, self._options.patches, keys).half().cpu() for level in levels]
        )

    def compute(self) -> dict[str, float]:
        if not self._reals:  # once: they stay, and their patches are many
            self._reals = self._projected(real=True)
            self._patches[True].clear()
        figures = {
            f"swd-{size}": 1000 * float((reals - fakes).abs().mean())
            for size, reals, fakes in zip(
                self._sizes, self._reals, self._projected(real=False), strict=True
            )
        }
        return {"swd": sum(figures.values()) / len(figures), **figures}

    def forget_fakes(self) -> None:
        self._patches[False].clear()

    def _projected(self, real: bool) -> list[Tensor]:
        """Per level: the quantiles of every projection of one side's patches."""
        levels = []
        for level in range(len(self._sizes)):
            patches = torch.cat([part[level] for part in self._patches[real]]).float()
            deviation, mean = torch.std_mean(patches, dim=(0, 2, 3), keepdim=True)
            levels.append(
                projected(
                    ((patches - mean) / deviation.clamp(min=1e-8)).flatten(1),
                    self._options.directions,
                )
            )
        return levels


def projected(rows: Tensor, directions: int) -> Tensor:
    """(N, D) → (QUANTILES, directions): rows projected on random unit vectors, sorted."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(rows.shape[1], directions, generator=generator)
    vectors /= vectors.norm(dim=0)
    blocks = vectors.split(32, dim=1)  # type: ignore[no-untyped-call]
    return torch.cat(
        [at_quantiles((rows @ block).sort(dim=0).values, QUANTILES) for block in blocks], dim=1
    )


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """(N, C, H, W) → band-pass levels, the finest first, the last one low-pass.

    Burt and Adelson's binomial filter (1, 4, 6, 4, 1) / 16, edges mirrored.
    """
    levels = []
    while min(images.shape[2:]) >= 2 * SMALLEST and not any(s % 2 for s in images.shape[2:]):
        smaller = _down(images)
        levels.append(images - _up(smaller))
        images = smaller
    return [*levels, images]


def cut(images: Tensor, count: int, keys: Tensor) -> Tensor:
    """`count` patches around random points of each image: (N·count, C, 7, 7)."""
    n, _, height, width = images.shape
    side = min(SIDE, height, width)
    numbers = mixed(keys.view(n, 1) + torch.arange(count, device=keys.device))
    rows = (numbers >> 40).remainder(height - side + 1).view(n, count, 1, 1)
    columns = (numbers >> 16).remainder(width - side + 1).view(n, count, 1, 1)
    steps = torch.arange(side, device=images.device)
    rows, columns = rows + steps.view(side, 1), columns + steps
    index = torch.arange(n, device=images.device).view(n, 1, 1, 1)
    patches = images.movedim(1, 3)[index, rows, columns]  # (N, count, 7, 7, C)
    return patches.flatten(0, 1).movedim(3, 1)


def content_keys(images: Tensor) -> Tensor:
    """(N, …) uint8 → (N,) int64: a number that follows from the pixels of each image."""
    pixels = images.flatten(1).long()
    weights = mixed(torch.arange(pixels.shape[1], device=images.device))
    return mixed((pixels * weights).sum(dim=1))


def mixed(numbers: Tensor) -> Tensor:
    """int64 to well-spread int64 (the finaliser of SplitMix64, Steele et al. 2014)."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        numbers = (numbers ^ ((numbers >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return numbers ^ ((numbers >> 31) & ((1 << 33) - 1))


def at_quantiles(ordered: Tensor, count: int) -> Tensor:
    """(N, D) sorted along N → (count, D): the values at the middles of `count` equal shares."""
    n = len(ordered)
    if n == count:
        return ordered
    position = (torch.arange(count) + 0.5) * (n / count) - 0.5
    low = position.floor().clamp(0, n - 1).long()
    high = (low + 1).clamp(max=n - 1)
    return torch.lerp(ordered[low], ordered[high], (position - low).clamp(0, 1).view(-1, 1).float())


def _filter(like: Tensor) -> Tensor:
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=like.device) / 16
    return line.outer(line).expand(like.shape[1], 1, 5, 5).contiguous()


def _down(images: Tensor) -> Tensor:
    padded = pad(images, (2, 2, 2, 2), mode="reflect")
    return conv2d(padded, _filter(images), stride=2, groups=images.shape[1])


def _up(images: Tensor) -> Tensor:
    padded = pad(images, (1, 1, 1, 1), mode="reflect")
    larger = conv_transpose2d(padded, 4 * _filter(images), stride=2, groups=images.shape[1])
    height, width = 2 * images.shape[2], 2 * images.shape[3]
    return larger[:, :, 4 : 4 + height, 4 : 4 + width]
