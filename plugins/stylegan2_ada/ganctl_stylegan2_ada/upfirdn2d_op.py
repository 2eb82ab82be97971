"""`upfirdn2d` as an operator of PyTorch's registry: a kernel, else plain operators."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.library import Library, register_autograd, register_fake

from .filters import factors
from .fir import Axis, resampled
from .kernels import Constant, Kernel
from .kernels.storage import NARROW, TYPES, index, layout, vector
from .precision import without_autocast

KERNEL = Kernel(Path(__file__).parent / "kernels" / "upfirdn2d.cu")
THREADS = 128
LONGEST = 4096
"""Products and sums of a thread that are written out one by one; more are left in loops."""

NAME = "stylegan2_ada::upfirdn2d"
_LIBRARY = Library("stylegan2_ada", "FRAGMENT")
_LIBRARY.define(
    "upfirdn2d(Tensor x, Tensor f, SymInt[] vertical, SymInt[] horizontal, bool flip, float gain)"
    " -> Tensor"
)


def upfirdn2d(x: Tensor, f: Tensor, v: Axis, h: Axis, flip: bool, gain: float) -> Tensor:
    """x (N, C, H, W) with f, (K,) or (Kh, Kw), along the vertical and the horizontal axis."""
    op = torch.ops.stylegan2_ada.upfirdn2d
    return cast(Tensor, op(x, f, list(v), list(h), flip, gain))


def _forward(
    x: Tensor, f: Tensor, vertical: list[int], horizontal: list[int], flip: bool, gain: float
) -> Tensor:
    v, h = Axis(*vertical), Axis(*horizontal)
    if f.device != x.device:
        raise TypeError("upfirdn2d: the filter is wanted where the images are")
    x = x.contiguous(memory_format=layout(x))
    if x.dtype in TYPES:
        y = _empty(x, v, h)
        if _run(x, y, f, v, h, flip, gain):
            return y
    return resampled(x, f, v, h, flip, gain).contiguous(memory_format=layout(x))


def _empty(x: Tensor, v: Axis, h: Axis) -> Tensor:
    shape = *x.shape[:2], v.out, h.out
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout(x))


class _Work(NamedTuple):
    """What one thread does: so many rows, columns and neighbouring channels."""

    rows: int
    columns: int
    channels: int

    @classmethod
    def of(cls, v: Axis, h: Axis, channels: int) -> _Work:
        rows = max(4 // v.up, 1) * v.up if v.down == 1 else 2 * v.up
        columns = h.up if channels == 1 or h.down > 1 else max(2 // h.up, 1) * h.up
        return cls(rows, columns, channels)

    def steps(self, v: Axis, h: Axis, separable: bool) -> int:
        """Products and sums, about."""
        v_taps, h_taps = -(-v.taps // v.up), -(-h.taps // h.up)
        each = self.columns * self.channels
        if separable:
            needed = (v.taps + (self.rows - 1) * v.down) // v.up + 1
            return each * (needed * h_taps + self.rows * v_taps)
        return each * self.rows * v_taps * h_taps


def _run(x: Tensor, y: Tensor, f: Tensor, v: Axis, h: Axis, flip: bool, gain: float) -> bool:
    """Have the kernel fill y. False: it cannot be used for this."""
    n, channels = x.shape[:2]
    last = layout(x) == torch.channels_last
    work = _Work.of(v, h, vector(channels, x, y) if last else 1)
    apart = factors(f)
    if rolled := work.steps(v, h, apart is not None) > LONGEST:
        work = _Work(v.up, h.up, 1)
    constants = _constants(x.dtype, v, h, work, apart is not None, index(x, y))
    if rolled:
        constants["ROLLED"] = 1
    launch = KERNEL.on(x.device, **constants)
    if launch is None:
        return False
    planes, lanes = (n, channels // work.channels) if last else (n * channels, 1)
    wide, tall = -(-h.out // work.columns), -(-v.out // work.rows)
    threads = planes * tall * wide * lanes
    if threads:
        fy, fx = (taps.float().contiguous() for taps in apart or (f, f))
        arguments = struct.pack(
            "4Pdq10i",
            *(x.data_ptr(), y.data_ptr(), fx.data_ptr(), fy.data_ptr()),
            *(gain, threads, v.size, h.size, v.out, h.out, lanes, wide, tall),
            *(-(h.before // h.up), -(v.before // v.up), flip),
        )
        launch(-(-threads // THREADS), THREADS, arguments)
    return True


def _constants(
    dtype: torch.dtype, v: Axis, h: Axis, work: _Work, separable: bool, count: str
) -> dict[str, Constant]:
    return {
        "TYPE": TYPES[dtype],
        "UPX": h.up,
        "UPY": v.up,
        "DOWNX": h.down,
        "DOWNY": v.down,
        "KX": h.taps,
        "KY": v.taps,
        "PHASEX": h.before % h.up,
        "PHASEY": v.before % v.up,
        "SEPARABLE": separable,
        "ROWS": work.rows,
        "COLUMNS": work.columns,
        "VECTOR": work.channels,
        "INDEX": count,
    }


def used_in_training() -> Iterator[dict[str, Constant]]:
    """The constants that StyleGAN2's networks (4 taps; feature maps, and images of three channels)
    and ADA (12 taps) ask for, in float32 and float16."""
    maps, images = [(1, 1), (2, 1), (1, 2)], [(2, 1), (1, 2)]
    for dtype, channels, taps, rates in (
        (torch.float32, 4, 4, maps),
        (torch.float16, 8, 4, maps),
        (torch.float32, 1, 4, images),
        (torch.float32, 1, 12, images),
    ):
        for up, down in rates:
            axis = Axis(1, taps, up, down, 0, 0)
            work = _Work.of(axis, axis, channels)
            yield _constants(dtype, axis, axis, work, True, NARROW)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, f, *ctx.geometry = inputs
    ctx.save_for_backward(f)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (f,) = ctx.saved_tensors
    vertical, horizontal, flip, gain = ctx.geometry
    v, h = Axis(*vertical).transposed(), Axis(*horizontal).transposed()
    return upfirdn2d(dy, f, v, h, not flip, gain), None, None, None, None, None


_LIBRARY.impl("upfirdn2d", _forward, "CompositeExplicitAutograd")
without_autocast(_LIBRARY, "upfirdn2d")
register_fake(NAME, lambda x, f, v, h, *_: _empty(x, Axis(*v), Axis(*h)))
register_autograd(NAME, _backward, setup_context=_save, lib=_LIBRARY)
