"""The generator of StyleGAN2."""

from __future__ import annotations

import torch

from ganctl import ImageSpec, StyleGenerator

from . import StyleGAN2Options, recipes
from .mapping import MappingNetwork
from .sizes import levels
from .synthesis import SynthesisNetwork


class StyleGAN2Generator(StyleGenerator):
    """Mapping and synthesis; tensors are named as in StyleGAN2-ADA's own PyTorch code."""

    mapping: MappingNetwork
    synthesis: SynthesisNetwork

    def __init__(self, options: StyleGAN2Options, spec: ImageSpec) -> None:
        super().__init__()
        row = recipes.settings(options.recipe, spec)
        self.z_dim, self.w_dim = options.z_dim, options.w_dim
        self.synthesis = SynthesisNetwork(
            levels(options, spec), spec.channels, self.w_dim, options.g_arch, options.conv_clamp
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            self.z_dim,
            spec.classes,
            self.w_dim,
            self.num_ws,
            options.mapping_layers or row.mapping_layers,
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
