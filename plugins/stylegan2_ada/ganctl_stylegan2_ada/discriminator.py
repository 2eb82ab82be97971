"""The discriminator of StyleGAN2 (Karras et al. 2020a, section 4; 2020b, appendix B)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from ganctl import Discriminator, ImageSpec

from . import StyleGAN2Options, recipes
from .filters import setup_filter
from .layers import RESAMPLE, Conv2d, Linear
from .mapping import MappingNetwork
from .modulate import minibatch_stddev
from .precision import compute_dtype
from .recipes import Blocks
from .sizes import Level, levels
from .upfirdn2d import downsample2d


class DiscriminatorBlock(nn.Module):
    """All layers of one resolution, which halve it; the first block looks at the image."""

    resample_filter: Tensor

    def __init__(
        self,
        level: Level,
        outputs: int,
        channels: int,
        arch: Blocks,
        *,
        first: bool,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.arch, self.float16, width = arch, level.float16, level.channels
        self.register_buffer("resample_filter", setup_filter(RESAMPLE))
        self.fromrgb = None
        if first or arch == "skip":
            self.fromrgb = Conv2d(channels, width, 1, act="lrelu", clamp=clamp)
        self.conv0 = Conv2d(width, width, 3, act="lrelu", clamp=clamp)
        self.conv1 = Conv2d(width, outputs, 3, act="lrelu", down=2, clamp=clamp)
        if arch == "resnet":
            self.skip = Conv2d(width, outputs, 1, bias=False, down=2)

    def forward(self, x: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features and image at (H, W) → both at (H/2, W/2); none where they are not used."""
        x, image = _looked_at(x, image, self.fromrgb, self.float16)
        if image is not None:
            image = downsample2d(image, self.resample_filter) if self.arch == "skip" else None
        if self.arch == "resnet":
            y = self.skip(x, gain=math.sqrt(0.5))
            return y + self.conv1(self.conv0(x), gain=math.sqrt(0.5)), image
        return self.conv1(self.conv0(x)), image


class MinibatchStd(nn.Module):
    """How much the images of a batch differ, as further features."""

    def __init__(self, group: int, features: int) -> None:
        super().__init__()
        self.group, self.features = group, features

    def forward(self, x: Tensor) -> Tensor:
        return minibatch_stddev(x, self.group, self.features)


class DiscriminatorEpilogue(nn.Module):
    """From the smallest maps to one logit per image, or to a projection on its label."""

    def __init__(
        self,
        level: Level,
        channels: int,
        arch: Blocks,
        *,
        projected: int | None,
        group: int,
        features: int,
        clamp: float | None,
    ) -> None:
        super().__init__()
        width = level.channels
        self.fromrgb = Conv2d(channels, width, 1, act="lrelu") if arch == "skip" else None
        self.mbstd = MinibatchStd(group, features)
        self.conv = Conv2d(width + features, width, 3, act="lrelu", clamp=clamp)
        self.fc = Linear(width * level.height * level.width, width, "lrelu")
        self.out = Linear(width, projected or 1)

    def forward(self, x: Tensor, image: Tensor | None, projection: Tensor | None) -> Tensor:
        """Features (N, C, 4, 4), labels as (N, projected) or None → logits (N, 1)."""
        x, _ = _looked_at(x, image, self.fromrgb, False)
        x = self.conv(self.mbstd(x))
        x = self.out(self.fc(x.flatten(1)))
        if projection is None:
            return x
        return (x * projection).sum(1, keepdim=True) / math.sqrt(projection.shape[1])


class StyleGAN2Discriminator(Discriminator):
    """Tensors are named as in StyleGAN2-ADA's own PyTorch code.

    With labels, the logit is the product of D's view of the image and a mapping network's of
    the label (Miyato & Koyama 2018, arXiv:1802.05637, as adapted by Karras et al. 2020b).
    """

    def __init__(self, options: StyleGAN2Options, spec: ImageSpec) -> None:
        super().__init__()
        row = recipes.settings(options.recipe, spec)
        arch = options.d_arch or row.d_arch
        smallest, *others = levels(options, spec)
        projected = smallest.channels if spec.classes else None
        outputs = smallest.channels
        blocks = []
        for level in others:
            block = DiscriminatorBlock(
                level,
                outputs,
                spec.channels,
                arch,
                first=level is others[-1],
                clamp=options.conv_clamp,
            )
            blocks.append((level.name, block))
            outputs = level.channels
        self.blocks = [name for name, _ in reversed(blocks)]
        for name, block in reversed(blocks):
            self.add_module(name, block)
        self.b4 = DiscriminatorEpilogue(
            smallest,
            spec.channels,
            arch,
            projected=projected,
            group=options.mbstd_group or row.mbstd_group,
            features=options.mbstd_features,
            clamp=options.conv_clamp,
        )
        self.mapping = None
        if projected is not None:
            self.mapping = MappingNetwork(
                0, spec.classes, projected, None, options.d_mapping_layers
            )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        image: Tensor | None = x.contiguous(memory_format=torch.channels_last)
        features = None
        for name in self.blocks:
            block = cast(DiscriminatorBlock, self.get_submodule(name))
            features, image = block(features, image)
        assert features is not None
        projection = None if self.mapping is None else self.mapping(None, c)
        logits: Tensor = self.b4(features.float(), image, projection)
        return logits


def _looked_at(
    x: Tensor | None, image: Tensor | None, fromrgb: Conv2d | None, float16: bool
) -> tuple[Tensor, Tensor | None]:
    """Features, in the block's type, with what the layer sees in the image added."""
    given = image if x is None else x
    assert given is not None
    dtype = compute_dtype(float16, given.device)
    x = None if x is None else x.to(dtype)
    if fromrgb is not None:
        assert image is not None
        image = image.to(dtype)
        y = fromrgb(image)
        x = y if x is None else x + y
    assert x is not None
    return x, image
