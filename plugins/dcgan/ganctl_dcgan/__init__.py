"""DCGAN: the convolutional GAN, with the variants that people compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ganctl import Architecture, ImageSpec, Opt, Recipe

if TYPE_CHECKING:
    from ganctl import Discriminator, Generator


@dataclass(frozen=True)
class DCGANOptions:
    """Two stacks of strided convolutions."""

    z_dim: Annotated[int, Opt("Length of the latent vector.", ge=1)] = 100
    ngf: Annotated[int, Opt("Channels of the generator's largest feature map.", ge=1)] = 64
    ndf: Annotated[int, Opt("Channels of the discriminator's largest feature map.", ge=1)] = 64
    init: Annotated[
        Literal["dcgan", "he-xavier"],
        Opt("Weights: normal with deviation 0.02, or He before (Leaky)ReLU and Xavier elsewhere."),
    ] = "dcgan"
    normalisation: Annotated[
        Literal["half", "dataset"],
        Opt("Pixels to [-1, 1], or to the training set's own mean 0 and deviation 1."),
    ] = "half"
    d_norm: Annotated[
        Literal["batch", "spectral", "none"],
        Opt("Normalisation in the discriminator: of its batches, of its weights, or none."),
    ] = "batch"
    attention: Annotated[
        int,
        Opt("Self-attention in both networks where maps have this shorter side; 0: none.", ge=0),
    ] = 0


class DCGAN(Architecture[DCGANOptions], api=1):
    """Strided convolutions with batch normalisation: solid, small, quick."""

    resolution = 64
    references = (
        "Radford et al. 2016, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434",
        "Zhang et al. 2019, Self-Attention GANs, arXiv:1805.08318 (attention)",
        "Miyato et al. 2018, Spectral Normalization for GANs, arXiv:1802.05957 (d_norm)",
        "Miyato & Koyama 2018, cGANs with Projection Discriminator, arXiv:1802.05637 (labels)",
    )

    def build(self, options: DCGANOptions, spec: ImageSpec) -> tuple[Generator, Discriminator]:
        from .networks import DCGANDiscriminator, DCGANGenerator

        return DCGANGenerator(options, spec), DCGANDiscriminator(options, spec)

    def recipe(self, options: DCGANOptions, spec: ImageSpec, batch: int | None) -> Recipe:
        return Recipe(objective="bce", batch=128, kimg=1000, lr=2e-4, betas=(0.5, 0.999))
