"""The generator and discriminator of DCGAN (Radford et al. 2016, figure 1)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from ganctl import Discriminator, Generator, ImageSpec, Progress, Reals, UserError

from . import DCGANOptions, initialise
from .attention import SelfAttention
from .normalise import Normalise
from .sizes import feature_maps

LEAK = 0.2


class DCGANGenerator(Generator):
    """z → transposed convolutions with batch normalisation and ReLU → tanh.

    Labels are appended to z. The maps get half as many channels each time they double.
    """

    def __init__(self, options: DCGANOptions, spec: ImageSpec) -> None:
        super().__init__()
        maps = feature_maps(spec)[:-1]
        widths = [options.ngf << n for n in reversed(range(len(maps)))]
        self.z_dim = options.z_dim
        inputs = options.z_dim + spec.classes
        self.layers = nn.ModuleList([nn.ConvTranspose2d(inputs, widths[0], maps[0], bias=False)])
        self.layers.extend(
            nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.attention = attention_at(options.attention, maps, widths)
        self.output = nn.ConvTranspose2d(widths[-1], spec.channels, 4, 2, 1, bias=False)
        self.normalise = Normalise(spec.channels) if options.normalisation == "dataset" else None
        if options.init == "dcgan":
            initialise.dcgan(self)
        else:
            initialise.he_xavier([*self.layers, self.output], slope=0.0)
            initialise.xavier(self.attention)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def fit(self, reals: Reals) -> None:
        if self.normalise is not None:
            self.normalise.fit(reals)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = z if c is None else torch.cat([z, c], dim=1)
        x = x[:, :, None, None]
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = relu(norm(layer(x)), inplace=True)
            if (name := str(index)) in self.attention:
                x = self.attention[name](x)
        x = torch.tanh(self.output(x))
        return x if self.normalise is None else self.normalise.inverse(x)


class DCGANDiscriminator(Discriminator):
    """Strided convolutions with LeakyReLU; batch normalisation in all but the first and last.

    With labels, ⟨embedding of the class, features summed over positions⟩ is added to the logit
    (Miyato & Koyama 2018). With spectral normalisation every weight has it and no batch does.
    """

    def __init__(self, options: DCGANOptions, spec: ImageSpec) -> None:
        super().__init__()
        *maps, _ = feature_maps(spec)
        maps.reverse()
        widths = [options.ndf << n for n in range(len(maps))]
        self.rowwise = options.d_norm != "batch"
        self.normalise = Normalise(spec.channels) if options.normalisation == "dataset" else None
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise([spec.channels, *widths])
        )
        normed = range(1, len(widths)) if options.d_norm == "batch" else ()
        self.norms = nn.ModuleDict({str(n): nn.BatchNorm2d(widths[n]) for n in normed})
        self.attention = attention_at(options.attention, maps, widths)
        self.output = nn.Conv2d(widths[-1], 1, maps[-1], bias=False)
        self.embedding = nn.Linear(spec.classes, widths[-1], bias=False) if spec.classes else None
        if options.init == "dcgan":
            initialise.dcgan(self)
        else:
            initialise.he_xavier([*self.layers, self.output], slope=LEAK)
            initialise.xavier(self.attention)
            initialise.xavier(self.embedding)
        if options.d_norm == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train()

    def fit(self, reals: Reals) -> None:
        if self.normalise is not None:
            self.normalise.fit(reals)

    def train(self, mode: bool = True) -> Self:
        """Spectral norms stay in evaluation mode: forward passes would iterate them."""
        super().train(mode)
        for norm, _ in self._spectral_norms():
            norm.eval()
        return self

    @torch.no_grad()
    def at(self, progress: Progress) -> None:
        """One power iteration of every spectral norm a step, however many passes it has.

        So that micro-batches see the weights that the batch would have seen.
        """
        for norm, weight in self._spectral_norms():
            norm.train()(weight)
            norm.eval()

    def _spectral_norms(self) -> Iterator[tuple[nn.Module, Tensor]]:
        for module in self.modules():
            if is_parametrized(module, "weight"):
                parametrization: Any = module.parametrizations.weight  # type: ignore[union-attr]
                yield parametrization[0], parametrization.original

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        if self.normalise is not None:
            x = self.normalise(x)
        x = x.contiguous(memory_format=torch.channels_last)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if (name := str(index)) in self.norms:
                x = self.norms[name](x)
            x = leaky_relu(x, LEAK, inplace=True)
            if name in self.attention:
                x = self.attention[name](x)
        logits: Tensor = self.output(x).flatten(1)
        if c is not None and self.embedding is not None:
            logits = logits + (self.embedding(c) * x.sum(dim=(2, 3))).sum(dim=1, keepdim=True)
        return logits


def attention_at(side: int, maps: list[tuple[int, int]], widths: list[int]) -> nn.ModuleDict:
    """Self-attention by the index of the map it follows: the one with this shorter side."""
    if not side:
        return nn.ModuleDict()
    sides = [min(size) for size in maps]
    if side not in sides:
        offered = ", ".join(map(str, sorted(sides)))
        raise UserError(f"arch.attention: no feature map has the shorter side {side}: {offered}")
    index = sides.index(side)
    return nn.ModuleDict({str(index): SelfAttention(widths[index])})
