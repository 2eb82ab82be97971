"""`bias_act` as operators of PyTorch's registry: a kernel each, else plain operators.

`stylegan2_ada::bias_act` gives y; `…_slope` dy times dy/dz, where z = x + b; `…_curve` how that
product changes, with y or, for swish, with z. The first two can be differentiated, so the first
one twice.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor
from torch.library import Library, register_autograd, register_fake

from .activations import CURVED, Activation, activate, needs_y, stored, times_curve, times_slope
from .kernels import Constant, Kernel
from .kernels.storage import NARROW, TYPES, index, layout, vector
from .precision import without_autocast

KERNEL = Kernel(Path(__file__).parent / "kernels" / "bias_act.cu")
ACTIVATIONS = {act: number for number, act in enumerate(get_args(Activation))}
THREADS, TIMES = 256, 2
"""Threads of a block, and vectors that each of them takes: to have several keeps more reads under
way."""

NAME = "stylegan2_ada::bias_act"
_SETTINGS = "str act, float alpha, float gain, float? clamp"
_LIBRARY = Library("stylegan2_ada", "FRAGMENT")
_LIBRARY.define(f"bias_act(Tensor x, Tensor? b, int dim, {_SETTINGS}) -> Tensor")
_LIBRARY.define(f"bias_act_slope(Tensor dy, Tensor? y, Tensor? z, {_SETTINGS}) -> Tensor")
_LIBRARY.define(f"bias_act_curve(Tensor g, Tensor dy, Tensor? y, Tensor? z, {_SETTINGS}) -> Tensor")


def bias_act(
    x: Tensor,
    b: Tensor | None,
    dim: int,
    act: Activation,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """clamp(gain·φ(x + b)), x and b of one type; settings are not checked."""
    op = torch.ops.stylegan2_ada.bias_act
    return cast(Tensor, op(x, b, dim % max(x.ndim, 1), act, alpha, gain, clamp))


def _forward(
    x: Tensor,
    b: Tensor | None,
    dim: int,
    act: Activation,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    clamp, form = stored(clamp, x.dtype), layout(x)
    x = x.contiguous(memory_format=form)
    y = torch.empty_like(x)
    # Along `dim` a number's neighbour is so many numbers away, and so many of them are there.
    stride, size = math.prod(x.shape[dim + 1 :]), 1 if b is None else len(b)
    if form == torch.channels_last:
        stride = {1: 1, 3: x.shape[1], 2: x.shape[1] * x.shape[3]}.get(dim, x[0].numel())
    b = None if b is None else b.contiguous()
    if b is None:
        at_once, bias = vector(x.numel(), x, y), 0
    elif stride == 1:
        at_once, bias = vector(size, x, y, b), 2
    else:
        at_once, bias = vector(stride, x, y), 1
    stride, size = max(stride // at_once, 1), size // (at_once if bias == 2 else 1)
    pointers = {"x": x, "b": b, "out": y}
    if _run(pointers, 0, bias, at_once, stride, size, act, alpha, gain, clamp):
        return y
    if b is not None:
        b = b.reshape([-1 if n == dim else 1 for n in range(x.ndim)])
    return activate(x.clone() if b is None else x + b, act, alpha, gain, clamp)


def _slope(
    dy: Tensor,
    y: Tensor | None,
    z: Tensor | None,
    act: Activation,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    dy, y, z = _alike(dy, y, z)
    clamp = stored(clamp, dy.dtype)
    out = torch.empty_like(dy)
    pointers = {"x": dy, "y": y, "z": z, "out": out}
    at_once = vector(dy.numel(), *(t for t in pointers.values() if t is not None))
    if _run(pointers, 1, 0, at_once, 1, 1, act, alpha, gain, clamp):
        return out
    return times_slope(dy, y, z, act, alpha, gain, clamp)


def _curve(
    g: Tensor,
    dy: Tensor,
    y: Tensor | None,
    z: Tensor | None,
    act: Activation,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    g, dy, y, z = _alike(g, dy, y, z)
    clamp = stored(clamp, g.dtype)
    out = torch.empty_like(g)
    pointers = {"x": g, "dy": dy, "y": y, "z": z, "out": out}
    at_once = vector(g.numel(), *(t for t in pointers.values() if t is not None))
    if _run(pointers, 2, 0, at_once, 1, 1, act, alpha, gain, clamp):
        return out
    return times_curve(g, dy, y, z, act, gain, clamp)


def _alike(first: Tensor, *others: Tensor | None) -> Any:
    """All in the memory layout of the last one, which was there before the gradients."""
    form = layout(next(t for t in (*reversed(others), first) if t is not None))
    tensors = (first, *others)
    return [None if t is None else t.contiguous(memory_format=form) for t in tensors]


def _run(
    tensors: dict[str, Tensor | None],
    order: int,
    bias: int,
    at_once: int,
    stride: int,
    size: int,
    act: Activation,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> bool:
    """Have the kernel fill `out`. False: it cannot be used for this."""
    out = tensors["out"]
    assert out is not None
    for tensor in tensors.values():
        if tensor is not None and (tensor.dtype, tensor.device) != (out.dtype, out.device):
            raise TypeError("bias_act: tensors of one type on one device are wanted")
    if out.dtype not in TYPES:
        return False
    constants = _constants(out.dtype, act, order, clamp is not None, bias, at_once, index(out))
    launch = KERNEL.on(out.device, **constants)
    if launch is None:
        return False
    count = out.numel() // at_once
    if count:
        found = (tensors.get(name) for name in ("x", "b", "dy", "y", "z", "out"))
        addresses = [0 if tensor is None else tensor.data_ptr() for tensor in found]
        numbers = count, stride, size, alpha, gain, clamp or 0.0
        launch(-(-count // (THREADS * TIMES)), THREADS, struct.pack("6P3q3d", *addresses, *numbers))
    return True


def _constants(
    dtype: torch.dtype,
    act: Activation,
    order: int,
    clamp: bool,
    bias: int,
    at_once: int,
    count: str,
) -> dict[str, Constant]:
    return {
        "TYPE": TYPES[dtype],
        "ACT": ACTIVATIONS[act],
        "ORDER": order,
        "CLAMP": clamp,
        "BIAS": bias,
        "VECTOR": at_once,
        "TIMES": TIMES,
        "INDEX": count,
    }


def used_in_training() -> Iterator[dict[str, Constant]]:
    """The constants that StyleGAN2's networks ask for, in float32 and float16."""
    for dtype, full in ((torch.float32, 4), (torch.float16, 8)):
        yield _constants(dtype, "lrelu", 0, True, 2, full, NARROW)
        yield _constants(dtype, "lrelu", 1, True, 0, full, NARROW)
        yield _constants(dtype, "linear", 0, True, 2, 1, NARROW)  # to images of three channels
        yield _constants(dtype, "linear", 1, True, 0, full, NARROW)
    for order in range(2):  # the mapping network and the last layers
        yield _constants(torch.float32, "lrelu", order, False, 0, 4, NARROW)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, b, ctx.dim, *ctx.settings = inputs
    act, _, _, clamp = ctx.settings
    swish = act == "swish"
    ctx.has_bias, ctx.axes = b is not None, [n for n in range(x.ndim) if n != ctx.dim]
    ctx.save_for_backward(
        output if needs_y(act, clamp) else None, x if swish else None, b if swish else None
    )


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    y, z, b = ctx.saved_tensors
    if b is not None:  # on the graph, for the second order
        z = z + b.reshape([1 if n in ctx.axes else -1 for n in range(z.ndim)])
    dx = torch.ops.stylegan2_ada.bias_act_slope(dy, y, z, *ctx.settings)
    db = None
    if ctx.has_bias and ctx.needs_input_grad[1]:
        db = dx.sum(ctx.axes) if ctx.axes else dx
    return dx, db, None, None, None, None, None


def _save_slope(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, y, z, *ctx.settings = inputs
    ctx.save_for_backward(dy if ctx.settings[0] in CURVED else None, y, z)


def _backward_slope(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, y, z = ctx.saved_tensors
    act, _, gain, clamp = ctx.settings
    ddy = dyy = dyz = None
    if ctx.needs_input_grad[0]:
        ddy = torch.ops.stylegan2_ada.bias_act_slope(g, y, z, *ctx.settings)
    if act in CURVED and ctx.needs_input_grad[2 if act == "swish" else 1]:
        if torch.is_grad_enabled():  # a third order is asked for, which the kernel has not
            changed = times_curve(g, dy, y, z, act, gain, stored(clamp, g.dtype))
        else:
            changed = torch.ops.stylegan2_ada.bias_act_curve(g, dy, y, z, *ctx.settings)
        dyy, dyz = (None, changed) if act == "swish" else (changed, None)
    return ddy, dyy, dyz, None, None, None, None


for _name, _function in (
    ("bias_act", _forward),
    ("bias_act_slope", _slope),
    ("bias_act_curve", _curve),
):
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    without_autocast(_LIBRARY, _name)
register_fake(NAME, lambda x, *others: torch.empty_like(x.contiguous(memory_format=layout(x))))
register_fake(f"{NAME}_slope", lambda dy, y, z, *_: torch.empty_like(_alike(dy, y, z)[0]))
register_fake(f"{NAME}_curve", lambda g, dy, y, z, *_: torch.empty_like(_alike(g, dy, y, z)[0]))
register_autograd(NAME, _backward, setup_context=_save, lib=_LIBRARY)
register_autograd(f"{NAME}_slope", _backward_slope, setup_context=_save_slope, lib=_LIBRARY)
