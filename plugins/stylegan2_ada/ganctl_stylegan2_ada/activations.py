"""Activations between bias and clamp in plain PyTorch: y = clamp(gain·φ(x + b)), dy/dx, d²y/dx².

Of nearly every φ the slope can be told from the value u = φ(z), so that y alone need be kept; only
swish needs z = x + b.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Literal[
    "linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"
]

GAINS: dict[Activation, float] = {
    "linear": 1,
    "relu": math.sqrt(2),
    "lrelu": math.sqrt(2),
    "tanh": 1,
    "sigmoid": 1,
    "elu": 1,
    "selu": 1,
    "softplus": 1,
    "swish": math.sqrt(2),
}
"""What roughly keeps the second moment of N(0, 1); He et al. 2015, section 2.2, for relu."""

STRAIGHT = {"linear", "relu", "lrelu"}
CURVED = {"tanh", "sigmoid", "elu", "selu", "softplus", "swish"}

SLOPE = 0.2
"""lrelu's for negative values."""

# Klambauer et al. 2017, section 2: φ(z) = λ·z, or λα·(e^z − 1) below 0.
SELU_LAMBDA = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


@cache
def stored(clamp: float | None, dtype: torch.dtype) -> float | None:
    """As y will have it, so that y tells where it was clamped."""
    return None if clamp is None else float(torch.tensor(clamp, dtype=dtype, device="cpu"))


def needs_y(act: Activation, clamp: float | None) -> bool:
    """Whether the slope is told from y, or where it is clamped."""
    return clamp is not None or act not in ("linear", "swish")


def activate(z: Tensor, act: Activation, alpha: float, gain: float, clamp: float | None) -> Tensor:
    """clamp(gain·φ(z)); may reuse z's memory."""
    y = _activate(z, act, alpha)
    if gain != 1:
        y.mul_(gain)
    if clamp is not None:
        y.clamp_(-clamp, clamp)
    return y


def times_slope(
    dy: Tensor,
    y: Tensor | None,
    z: Tensor | None,
    act: Activation,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """dy·gain·φ'(z), and 0 where y is clamped; φ(z) = y/gain elsewhere.

    One new array, changed in place: on CPUs fresh memory costs more than the arithmetic.
    """
    aten = torch.ops.aten
    dx: Tensor
    if act == "linear":
        dx = dy * gain
    elif act == "swish":
        assert z is not None
        s = z.sigmoid()
        dx = (z * (1 - s)).add_(1).mul_(s).mul_(dy).mul_(gain)
    elif act == "relu":
        dx = aten.threshold_backward(dy, y, 0).mul_(gain)
    elif act == "lrelu":  # y has the sign of z
        dx = aten.leaky_relu_backward(dy, y, alpha, True)
        dx = dx if gain == 1 else dx.mul_(gain)
    else:
        assert y is not None
        dx = _slope(y / gain, act).mul_(dy).mul_(gain)
    if clamp is not None:
        aten.hardtanh_backward.grad_input(dx, y, -clamp, clamp, grad_input=dx)
    return dx


def times_curve(
    g: Tensor,
    dy: Tensor,
    y: Tensor | None,
    z: Tensor | None,
    act: Activation,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """g times how dy·dy/dz changes: with y, for swish with z; 0 where y is clamped.

    For curved φ. Made of differentiable operators alone.
    """
    factor = g * dy
    if clamp is not None:
        assert y is not None
        factor = torch.where(y.abs() < clamp, factor, 0)
    if act == "swish":
        assert z is not None
        return factor * _swish_curve(z) * gain
    assert y is not None
    return factor * _curve(y / gain, act)


def _activate(z: Tensor, act: Activation, alpha: float) -> Tensor:
    match act:
        case "linear":
            return z
        case "relu":
            return z.relu_()
        case "lrelu":
            return F.leaky_relu_(z, alpha)
        case "tanh":
            return z.tanh_()
        case "sigmoid":
            return z.sigmoid_()
        case "elu":
            return F.elu_(z)
        case "selu":
            return F.selu_(z)
        case "softplus":
            return F.softplus(z)
        case "swish":
            return F.silu(z, inplace=True)


def _slope(u: Tensor, act: Activation) -> Tensor:
    """φ' as a function of u = φ(z)."""
    match act:
        case "tanh":
            return 1 - u * u
        case "sigmoid":
            return u * (1 - u)
        case "elu":
            return u.clamp(max=0).add_(1)
        case "selu":
            return torch.where(u > 0, SELU_LAMBDA, u + SELU_LAMBDA * SELU_ALPHA)
        case _:  # softplus
            return torch.expm1(-u).neg_()


def _curve(u: Tensor, act: Activation) -> Tensor:
    """dφ'/dφ, as a function of u = φ(z)."""
    match act:
        case "tanh":
            return -2 * u
        case "sigmoid":
            return 1 - 2 * u
        case "softplus":
            return (-u).exp()
        case _:  # elu, selu: φ' is φ and a constant below 0
            return (u < 0).to(u.dtype)


def _swish_curve(z: Tensor) -> Tensor:
    """φ''(z) of φ(z) = z·σ(z)."""
    s = z.sigmoid()
    return s * (1 - s) * (2 + z * (1 - 2 * s))
