"""Bias, activation, gain and clamp in one step, differentiable twice and lean in memory.

y = clamp(gain·φ(x + b)). Of nearly every φ the slope can be told from the value, so y alone is
kept, which the next layer keeps anyway; x and x + b are free to go. Only swish keeps x.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal, cast

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

SLOPE = 0.2
"""lrelu's for negative values."""

# Klambauer et al. 2017, section 2: φ(z) = λ·z, or λα·(e^z − 1) below 0.
SELU_LAMBDA = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: Activation = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    inplace: bool = False,
) -> Tensor:
    """clamp(gain·φ(x + b)); x of any shape, b as long as x is along `dim`.

    `alpha` ≥ 0 is lrelu's slope below 0 (0.2), and of no effect on the others. `gain` > 0 is
    as default that of `GAINS`. `clamp` ≥ 0 limits the result to [−clamp, clamp]; there, and
    at the limits, gradients are 0; a kink has the slope of its left side. `inplace` puts the
    result where x was, if φ is of straight pieces; what made x must not need it any more.
    """
    if act not in GAINS:
        raise ValueError(f"{act!r} is no activation; there are {', '.join(GAINS)}")
    alpha = SLOPE if alpha is None else alpha
    gain = GAINS[act] if gain is None else gain
    if gain <= 0 or alpha < 0 or (clamp is not None and clamp < 0):
        raise ValueError(f"gain > 0, alpha ≥ 0, clamp ≥ 0, not {gain}, {alpha}, {clamp}")
    if b is not None:
        if b.shape != x.shape[dim : dim + 1 or None]:
            raise ValueError(f"b is as long as x along {dim}: {b.shape} does not go with {x.shape}")
        b = b.to(x.dtype).reshape([-1 if n == dim % x.ndim else 1 for n in range(x.ndim)])
    if clamp is not None:  # as y will have it, so that y tells where it was clamped
        clamp = _stored(clamp, x.dtype)
    inplace = inplace and act in STRAIGHT
    return cast(Tensor, _BiasAct.apply(x, b, act, alpha, gain, clamp, inplace))  # type: ignore[no-untyped-call]


@cache
def _stored(number: float, dtype: torch.dtype) -> float:
    return float(torch.tensor(number, dtype=dtype, device="cpu"))


class _BiasAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        b: Tensor | None,
        act: Activation,
        alpha: float,
        gain: float,
        clamp: float | None,
        inplace: bool,
    ) -> Tensor:
        if inplace:
            ctx.mark_dirty(x)
            z = x if b is None else x.add_(b)
        else:
            z = x.clone() if b is None else x + b
        y = _activate(z, act, alpha)
        if gain != 1:
            y.mul_(gain)
        if clamp is not None:
            y.clamp_(-clamp, clamp)
        ctx.settings = act, alpha, gain, clamp
        ctx.bias_shape = None if b is None else b.shape
        swish = act == "swish"
        nothing = act == "linear" and clamp is None
        ctx.save_for_backward(
            None if nothing or (swish and clamp is None) else y,
            x if swish else None,
            b if swish else None,
        )
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        y, x, b = ctx.saved_tensors
        z = x if b is None else x + b  # on the graph, for the second order
        dx = cast(Tensor, _Slope.apply(grads[0], y, z, *ctx.settings))  # type: ignore[no-untyped-call]
        db = dx.sum_to_size(ctx.bias_shape) if ctx.needs_input_grad[1] else None
        return dx, db, None, None, None, None, None


class _Slope(torch.autograd.Function):
    """dy·dy/dz, where z = x + b, given as a function of y, or of z for swish.

    Its own derivative with respect to dy is itself. With respect to y it is
    dy·d(dy/dz)/dy = dy·φ''/φ', which autograd takes on to x and b, through y; for functions
    of straight pieces it is 0 and no graph goes that way.
    """

    @staticmethod
    def forward(
        ctx: Any,
        dy: Tensor,
        y: Tensor | None,
        z: Tensor | None,
        act: Activation,
        alpha: float,
        gain: float,
        clamp: float | None,
    ) -> Tensor:
        ctx.save_for_backward(dy if act in CURVED else None, y, z)
        ctx.settings = act, alpha, gain, clamp
        return _times_slope(dy, y, z, act, alpha, gain, clamp)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy, y, z = ctx.saved_tensors
        act, _, gain, clamp = ctx.settings
        ddy = dyy = dyz = None
        if ctx.needs_input_grad[0]:
            ddy = cast(Tensor, _Slope.apply(grads[0], y, z, *ctx.settings))  # type: ignore[no-untyped-call]
        if act in CURVED:
            factor = grads[0] * dy
            if clamp is not None:
                factor = torch.where(y.abs() < clamp, factor, 0)
            if act == "swish" and ctx.needs_input_grad[2]:
                dyz = factor * _swish_curve(z) * gain
            elif act != "swish" and ctx.needs_input_grad[1]:
                dyy = factor * _curve(y / gain, act)
        return ddy, dyy, dyz, None, None, None, None


STRAIGHT = {"linear", "relu", "lrelu"}
CURVED = {"tanh", "sigmoid", "elu", "selu", "softplus", "swish"}


def _activate(z: Tensor, act: Activation, alpha: float) -> Tensor:
    """φ(z); may reuse z's memory."""
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


def _times_slope(
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
