"""Layers with equalised learning rates (Karras et al. 2018, arXiv:1710.10196, section 4.1).

Weights are drawn from N(0, 1) and scaled when they are used, so that Adam, whose steps do not
depend on the scale of gradients, moves all layers equally fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .activations import GAINS, Activation
from .bias_act import bias_act
from .filters import setup_filter
from .precision import own_precision
from .resample import conv2d_resample

RESAMPLE = (1, 3, 3, 1)
"""Taps of the filter for all changes of resolution (Karras et al. 2020a, appendix B)."""


class Linear(nn.Module):
    """(N, inputs) → (N, outputs): x·Wᵀ·m/√inputs + b·m, then the activation and its gain.

    m is `lr_multiplier`: the layer learns so many times as fast as others. Always in float32.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        act: Activation = "linear",
        lr_multiplier: float = 1.0,
        bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.act = act
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        with own_precision(x):
            x, bias = x.float(), self.bias * self.bias_gain
            y = torch.addmm(bias, x, self.weight.t(), alpha=self.weight_gain)
            return bias_act(y, act=self.act, inplace=True)


class Conv2d(nn.Module):
    """(N, I, H, W) → (N, O, H·up/down, W·up/down), with bias, activation, gain and clamp.

    The size is kept but for up and down. `gain` of a call goes on top of the activation's
    own; `clamp` is scaled with it.
    """

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        bias: bool = True,
        act: Activation = "linear",
        up: int = 1,
        down: int = 1,
        clamp: float | None = None,
        taps: Sequence[float] = RESAMPLE,
    ) -> None:
        super().__init__()
        self.act, self.up, self.down, self.clamp = act, up, down, clamp
        self.padding = kernel // 2
        self.register_buffer("resample_filter", setup_filter(taps))
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.weight_gain = 1 / math.sqrt(inputs * kernel**2)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        gain *= GAINS[self.act]
        x = conv2d_resample(
            x,
            (self.weight * (self.weight_gain * gain)).to(x.dtype),
            self.resample_filter,
            self.up,
            self.down,
            self.padding,
            flip_weight=self.up == 1,
        )
        if self.act == "linear" and self.bias is None and self.clamp is None:
            return x
        return scaled_act(x, self.bias, self.act, gain, self.clamp)


def scaled_act(
    x: Tensor, bias: Tensor | None, act: Activation, gain: float, clamp: float | None
) -> Tensor:
    """gain·φ(x/gain + bias), limited to what `clamp` is after φ's own gain; x is overwritten.

    For φ of straight pieces through 0: there φ(gain·x) = gain·φ(x), so that the gain can go
    into the weights that x was made with, which are fewer.
    """
    bias = None if bias is None else bias * gain
    clamp = None if clamp is None else clamp * gain / GAINS[act]
    return bias_act(x, bias, act=act, gain=1, clamp=clamp, inplace=True)
