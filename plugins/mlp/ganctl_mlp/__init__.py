"""The MLP GAN, the objective it is trained with, and the digits that it learns first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ganctl import (
    AdversarialOptions,
    Architecture,
    ImageSpec,
    Item,
    NoOptions,
    Objective,
    Opt,
    Recipe,
    Source,
    UserError,
)

if TYPE_CHECKING:
    import numpy as np

    from ganctl import Discriminator, Generator, Phase, Players


Widths = tuple[int, ...]


@dataclass(frozen=True)
class MLPOptions:
    """Two stacks of fully connected layers."""

    z_dim: Annotated[int, Opt("Length of the latent vector.", ge=1)] = 100
    g_widths: Annotated[Widths, Opt("Hidden layers of the generator.", ge=1)] = (256, 512)
    d_widths: Annotated[Widths, Opt("Hidden layers of the discriminator.", ge=1)] = (512, 256)
    output: Annotated[
        Literal["tanh", "sigmoid"],
        Opt("The generator's last activation; with sigmoid both networks work in [0, 1]."),
    ] = "tanh"
    init: Annotated[
        Literal["glorot", "normal"], Opt("Weights: Glorot uniform, or normal with deviation 0.02.")
    ] = "glorot"
    batch_norm: Annotated[bool, Opt("Batch normalisation in the generator.")] = False
    leak: Annotated[float, Opt("Slope of LeakyReLU below zero.", ge=0, le=1)] = 0.2
    dropout: Annotated[float, Opt("Dropout in the discriminator.", ge=0, lt=1)] = 0.4

    def __post_init__(self) -> None:
        if not self.g_widths or not self.d_widths:
            raise UserError("g_widths and d_widths need at least one layer each")


class MLP(Architecture[MLPOptions], api=1):
    """The first GAN: fully connected networks for small images."""

    resolution = 28
    references = ("Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661",)

    def build(self, options: MLPOptions, spec: ImageSpec) -> tuple[Generator, Discriminator]:
        from .networks import MLPDiscriminator, MLPGenerator

        return MLPGenerator(options, spec), MLPDiscriminator(options, spec)

    def recipe(self, options: MLPOptions, spec: ImageSpec, batch: int | None) -> Recipe:
        return Recipe(objective="bce", batch=256, kimg=800, lr=2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True)
class BCEOptions(AdversarialOptions):
    """The original objective, and what is done to keep D from winning."""

    label_smoothing: Annotated[
        float, Opt("One-sided: D's target for reals is 1 minus this.", ge=0, lt=1)
    ] = 0.0
    label_noise: Annotated[
        float, Opt("Share of the labels real and fake that D is told wrong.", ge=0, lt=0.5)
    ] = 0.0
    instance_noise: Annotated[
        float,
        Opt(
            "Deviation of the noise on all D sees, in [-1, 1] pixels; falls to 0 by the end.", ge=0
        ),
    ] = 0.0


class BCE(Objective[BCEOptions], api=1):
    """Binary cross-entropy with the non-saturating generator loss of the original GAN."""

    references = (
        "Goodfellow et al. 2014, arXiv:1406.2661, equation 1 and section 3",
        "Salimans et al. 2016, arXiv:1606.03498, section 3.4 (label_smoothing)",
        "Sønderby et al. 2017, arXiv:1610.04490, section 2.4 (instance_noise)",
    )

    def phases(self, players: Players, options: BCEOptions) -> list[Phase]:
        from .bce import phases

        return phases(players, options)


class Digits(Source[NoOptions], api=1):
    """1,797 handwritten digits that come with ganctl: no network needed."""

    curated = True
    references = (
        "E. Alpaydin, C. Kaynak 1998, Optical Recognition of Handwritten Digits, "
        "UCI Machine Learning Repository, doi:10.24432/C50P49 (CC BY 4.0)",
    )

    def channels(self, options: NoOptions) -> int:
        return 1

    def count(self, options: NoOptions) -> int:
        return 1797

    def items(self, options: NoOptions) -> Iterator[Item]:
        from .digits import read

        for index, label in enumerate(read()[1]):
            yield Item(key=f"digits/{index:04d}", uri=f"digits:{index}", label=str(label))

    def open(self, options: NoOptions, item: Item) -> np.ndarray[Any, Any]:
        from .digits import read

        pixels: np.ndarray[Any, Any] = read()[0][int(item.uri.partition(":")[2])]
        return pixels
