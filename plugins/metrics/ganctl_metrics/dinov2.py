"""DINOv2's vision transformer (Oquab et al. 2023, arXiv:2304.07193), and what it looks at.

By default ViT-L/14 as `dinov2_vitl14_pretrain.pth` has it, the release without register tokens.
Names and shapes are those of that file. Transformer: Dosovitskiy et al. 2020, arXiv:2010.11929;
layer scale: Touvron et al. 2021, arXiv:2103.17239, equation 9.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from .resize import as_rgb

SIDE = 224
"""Pixels: 16×16 patches of 14×14."""
EPS = 1e-6
"""Of the layer normalisations."""
OFFSET = 0.1
"""Patches that the release adds to the target size when it resizes the positional embedding:
its positions therefore lie grid / (n + 0.1) apart, not grid / n."""
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in [0, 1]."""


def preprocess(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 with C 1, 3 or 4 → (N, 3, 224, 224) float32, mean 0 and deviation 1.

    As Stein et al. 2023 (arXiv:2306.04675, dgm-eval): bicubic and antialiased as Pillow does it,
    without regard to the ratio of the sides, clamped. Nothing is rounded to whole levels between.
    Gray is taken three times; the fourth channel is left out.
    """
    x = as_rgb(images).float()
    if x.shape[2:] != (SIDE, SIDE):
        x = interpolate(x, size=(SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    mean, deviation = (x.new_tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    return (x / 255 - mean) / deviation


class PatchEmbed(nn.Module):
    """(N, 3, H, W) → (N, H/patch · W/patch, width): a linear map of each patch, row by row."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.proj(x)
        return patches.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """(N, L, width) → (N, L, width): multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        # The 3·width outputs are ordered as (query, key or value; head; coordinate).
        parts: Tensor = self.qkv(x).view(n, length, 3, self._heads, width // self._heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, length, width))
        return out


class MLP(nn.Module):
    """(N, L, width) → (N, L, width): two layers, the hidden one four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(gelu(self.fc1(x)))
        return out


class LayerScale(nn.Module):
    """One learnt factor per channel, at the end of each residual branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """(N, L, width) → (N, L, width): attention, then MLP, each normalised before and added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = MLP(width)
        self.ls2 = LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class DINOv2(nn.Module):
    """(N, 3, H, W) from `preprocess` → the normalised class token (N, width).

    `grid`: patches along each side of the images that the positional embedding was learnt for;
    others are looked at with the embedding resized. H and W are multiples of `patch`.
    """

    def __init__(
        self, depth: int = 24, width: int = 1024, heads: int = 16, patch: int = 14, grid: int = 37
    ) -> None:
        super().__init__()
        self._patch, self._grid = patch, grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # for training; in the file
        self.patch_embed = PatchEmbed(width, patch)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        positions = self._positions(x.shape[2] // self._patch, x.shape[3] // self._patch)
        tokens = self.patch_embed(x) + positions
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        tokens = torch.cat([first, tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens[:, 0])
        return out

    def _positions(self, rows: int, columns: int) -> Tensor:
        """(1, rows · columns, width): bicubic, not antialiased, with the release's offset."""
        table = self.pos_embed[:, 1:]
        grid = self._grid
        if rows == columns == grid:
            return table
        square = table.transpose(1, 2).reshape(1, -1, grid, grid)
        scale = ((rows + OFFSET) / grid, (columns + OFFSET) / grid)
        return interpolate(square, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
