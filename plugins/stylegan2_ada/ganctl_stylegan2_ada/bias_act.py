"""Bias, activation, gain and clamp in one step, differentiable twice and lean in memory.

y = clamp(gain·φ(x + b)). Of nearly every φ the slope can be told from the value, so y alone is
kept, which the next layer keeps anyway; x and x + b are free to go. Only swish keeps x.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from . import bias_act_op
from .activations import (
    CURVED,
    GAINS,
    SLOPE,
    STRAIGHT,
    Activation,
    activate,
    needs_y,
    stored,
    times_curve,
    times_slope,
)
from .kernels import written_for


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
    at the limits, gradients are 0; a kink has the slope of its left side. `inplace` may put the
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
        if b.device != x.device:  # a kernel would read elsewhere
            raise ValueError(f"b is where x is, on {x.device}, not on {b.device}")
        b = b.to(x.dtype)
    if inplace and act == "linear" and b is None and gain == 1 and clamp is None:
        return x
    if written_for(x.device):
        return bias_act_op.bias_act(x, b, dim, act, alpha, gain, clamp)
    if b is not None:
        b = b.reshape([-1 if n == dim % x.ndim else 1 for n in range(x.ndim)])
    clamp = stored(clamp, x.dtype)
    inplace = inplace and act in STRAIGHT
    return cast(Tensor, _BiasAct.apply(x, b, act, alpha, gain, clamp, inplace))  # type: ignore[no-untyped-call]


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
        y = activate(z, act, alpha, gain, clamp)
        ctx.settings = act, alpha, gain, clamp
        ctx.bias_shape = None if b is None else b.shape
        swish = act == "swish"
        ctx.save_for_backward(
            y if needs_y(act, clamp) else None,
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
        return times_slope(dy, y, z, act, alpha, gain, clamp)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy, y, z = ctx.saved_tensors
        act, _, gain, clamp = ctx.settings
        ddy = dyy = dyz = None
        if ctx.needs_input_grad[0]:
            ddy = cast(Tensor, _Slope.apply(grads[0], y, z, *ctx.settings))  # type: ignore[no-untyped-call]
        if act in CURVED and ctx.needs_input_grad[2 if act == "swish" else 1]:
            changed = times_curve(grads[0], dy, y, z, act, gain, clamp)
            dyy, dyz = (None, changed) if act == "swish" else (changed, None)
        return ddy, dyy, dyz, None, None, None, None
