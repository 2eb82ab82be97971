"""The two initialisations that are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn

Convolution = nn.Conv2d | nn.ConvTranspose2d


def dcgan(network: nn.Module) -> None:
    """N(0, 0.02) for every weight, N(1, 0.02) for the gains of batch normalisation.

    Radford et al. 2016, section 4, and their code.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, 0.0, 0.02)


def he_xavier(layers: Iterable[nn.Module], slope: float) -> None:
    """He before (Leaky)ReLU, Xavier in the last layer, before tanh or sigmoid.

    `layers` from input to output. N(0, 2 / ((1 + slope²)·fan in)) (He et al. 2015) and
    N(0, 2 / (fan in + fan out)) (Glorot & Bengio 2010).
    """
    *hidden, last = [layer for layer in layers if isinstance(layer, Convolution)]
    for layer in hidden:
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (1 + slope**2) / fans(layer)[0]))
    nn.init.normal_(last.weight, 0.0, math.sqrt(2 / sum(fans(last))))


def xavier(network: nn.Module | None) -> None:
    """The 1×1 convolutions and linear layers of attention and label embedding."""
    for module in () if network is None else network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)


def fans(layer: Convolution) -> tuple[float, float]:
    """How many values reach one output value, and how many one input value reaches.

    Of a stride-2 kernel with 16 weights only 4 meet at each value on the larger side.
    `nn.init` leaves that out, and for transposed convolutions takes fan out for fan in. With
    stride 1 (without padding) the kernel covers the whole smaller map.
    """
    height, width = layer.kernel_size
    area, part = height * width, height * width // 4 if layer.stride[0] == 2 else 1
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * part, layer.out_channels * area
    return layer.in_channels * area, layer.out_channels * part
