"""Fully connected generator and discriminator."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganctl import Discriminator, Generator, ImageSpec, random

from . import MLPOptions


class MLPGenerator(Generator):
    """z → hidden layers → one value per pixel. Labels are appended to z (Mirza 2014)."""

    def __init__(self, options: MLPOptions, spec: ImageSpec) -> None:
        super().__init__()
        self.z_dim = options.z_dim
        self.shape = (spec.channels, spec.height, spec.width)
        self.leak = options.leak
        widths = [options.z_dim + spec.classes, *options.g_widths]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        # Not on the first layer, as is usual: it would undo the spread of z.
        normed = options.g_widths[1:] if options.batch_norm else ()
        self.norms = nn.ModuleDict(
            {str(index): nn.BatchNorm1d(width) for index, width in enumerate(normed, start=1)}
        )
        self.output = nn.Linear(widths[-1], math.prod(self.shape))
        self.sigmoid = options.output == "sigmoid"
        initialise([*self.hidden, self.output], options.init)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = z if c is None else torch.cat([z, c], dim=1)
        for index, layer in enumerate(self.hidden):
            x = layer(x)
            if (name := str(index)) in self.norms:
                x = self.norms[name](x)
            x = leaky_relu(x, self.leak, inplace=True)
        x = self.output(x)
        x = torch.sigmoid(x) * 2 - 1 if self.sigmoid else torch.tanh(x)
        return x.view(-1, *self.shape)


class MLPDiscriminator(Discriminator):
    """Pixels → hidden layers with dropout → one logit. Labels are appended to the pixels."""

    rowwise = True

    def __init__(self, options: MLPOptions, spec: ImageSpec) -> None:
        super().__init__()
        self.leak, self.dropout = options.leak, options.dropout
        self.sigmoid = options.output == "sigmoid"
        pixels = spec.channels * spec.height * spec.width
        widths = [pixels + spec.classes, *options.d_widths]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.output = nn.Linear(widths[-1], 1)
        initialise([*self.hidden, self.output], options.init)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x = x.flatten(1)
        if self.sigmoid:
            x = (x + 1) / 2  # both networks in [0, 1]
        if c is not None:
            x = torch.cat([x, c], dim=1)
        for layer in self.hidden:
            x = leaky_relu(layer(x), self.leak, inplace=True)
            if self.training and self.dropout:
                x = x * random.dropout_mask(x, self.dropout)
        logits: Tensor = self.output(x)
        return logits


def initialise(layers: Iterable[nn.Module], init: str) -> None:
    """Glorot & Bengio 2010 (uniform), or N(0, 0.02); biases start at zero."""
    for layer in layers:
        assert isinstance(layer, nn.Linear)
        if init == "glorot":
            nn.init.xavier_uniform_(layer.weight)
        else:
            nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
