"""From styles to images (Karras et al. 2020a, arXiv:1912.04958, sections 2 and 4)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from ganctl import Noise, random

from .activations import GAINS
from .bias_act import bias_act
from .filters import setup_filter
from .layers import RESAMPLE, Conv2d, Linear, scaled_act
from .modulate import modulated_conv2d
from .precision import compute_dtype
from .recipes import Blocks
from .sizes import Level
from .upfirdn2d import upsample2d


class SynthesisLayer(nn.Module):
    """Modulated 3×3 convolution, noise, bias, leaky ReLU; doubles the size if `up` is 2."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self, inputs: int, level: Level, w_dim: int, *, up: int = 1, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = Linear(w_dim, inputs, bias=1)
        self.weight = nn.Parameter(torch.randn(level.channels, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(level.channels))
        self.register_buffer("resample_filter", setup_filter(RESAMPLE))
        self.register_buffer("noise_const", torch.randn(level.height, level.width))

    def forward(self, x: Tensor, w: Tensor, noise: Noise, gain: float = 1.0) -> Tensor:
        """x (N, I, H, W), w (N, w_dim) → (N, O, H·up, W·up)."""
        gain *= GAINS["lrelu"]
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            self._noise(x.shape[0], noise, gain),
            up=self.up,
            padding=1,
            f=self.resample_filter,
            flip_weight=self.up == 1,
            fused=False,
            gain=gain,
        )
        return scaled_act(x, self.bias, "lrelu", gain, self.clamp)

    def _noise(self, n: int, noise: Noise, gain: float) -> Tensor | None:
        if noise == "none":
            return None
        strength = self.noise_strength * gain
        if noise == "const":
            return self.noise_const * strength
        shape = (1, *self.noise_const.shape)
        return random.randn(n, *shape, device=self.noise_const.device) * strength


class ToRGB(nn.Module):
    """Modulated 1×1 convolution without demodulation, to the images' channels."""

    def __init__(self, inputs: int, channels: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Linear(w_dim, inputs, bias=1)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.weight_gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (N, I, H, W), w (N, w_dim) → (N, C, H, W)."""
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x, self.weight, styles, demodulate=False, fused=False)
        return bias_act(x, self.bias, clamp=self.clamp)


class SynthesisBlock(nn.Module):
    """All layers of one resolution; the first block has a learned constant for an input."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int | None,
        level: Level,
        channels: int,
        w_dim: int,
        arch: Blocks,
        *,
        last: bool,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.arch, self.float16 = arch, level.float16
        self.register_buffer("resample_filter", setup_filter(RESAMPLE))
        if inputs is None:
            const = torch.randn(level.channels, level.height, level.width)
            self.const = nn.Parameter(const)
        else:
            self.conv0 = SynthesisLayer(inputs, level, w_dim, up=2, clamp=clamp)
        self.first = inputs is None
        self.conv1 = SynthesisLayer(level.channels, level, w_dim, clamp=clamp)
        self.torgb = None
        if last or arch == "skip":
            self.torgb = ToRGB(level.channels, channels, w_dim, clamp)
        if inputs is not None and arch == "resnet":
            self.skip = Conv2d(inputs, level.channels, 1, bias=False, up=2)

    @property
    def convolutions(self) -> int:
        """How many styles it uses but for that of its image, which the next block shares."""
        return 1 if self.first else 2

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Iterator[Tensor], noise: Noise
    ) -> tuple[Tensor, Tensor | None]:
        """Features (N, I, H/2, W/2) and image (N, C, H/2, W/2) → both at (H, W)."""
        w = next(ws)
        if x is None:
            x = self.const.to(compute_dtype(self.float16, w.device)).expand(w.shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, w, noise)
        else:
            x = x.to(compute_dtype(self.float16, w.device))
            if self.arch == "resnet":
                y = self.skip(x, gain=math.sqrt(0.5))
                x = self.conv0(x, w, noise)
                x = y + self.conv1(x, next(ws), noise, gain=math.sqrt(0.5))
            else:
                x = self.conv0(x, w, noise)
                x = self.conv1(x, next(ws), noise)
        if image is not None:
            image = upsample2d(image, self.resample_filter)
        if self.torgb is not None:
            y = self.torgb(x, next(ws)).float()
            image = y if image is None else image + y
        return x, image


class SynthesisNetwork(nn.Module):
    """Blocks from 4² up. Style n is that of convolution n, the last that of the last image."""

    def __init__(
        self,
        levels: list[Level],
        channels: int,
        w_dim: int,
        arch: Blocks,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.blocks = [level.name for level in levels]
        inputs: int | None = None
        for level in levels:
            last = level is levels[-1]
            block = SynthesisBlock(inputs, level, channels, w_dim, arch, last=last, clamp=clamp)
            self.add_module(level.name, block)
            inputs = level.channels
        self.num_ws = 2 * len(levels)

    def forward(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        """ws (N, num_ws, w_dim) → (N, C, H, W)."""
        x: Tensor | None = None
        image: Tensor | None = None
        styles = ws.float().unbind(1)
        first = 0
        for name in self.blocks:
            block = cast(SynthesisBlock, self.get_submodule(name))
            x, image = block(x, image, iter(styles[first:]), noise)
            first += block.convolutions
        assert image is not None
        return image
