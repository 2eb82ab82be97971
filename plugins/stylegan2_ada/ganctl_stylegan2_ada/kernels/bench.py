"""How near the kernels come to what memory allows: their bytes over time beside a plain copy's.

A kernel moves at least what it reads and what it writes, each number once. A copy from one place of
the device to another does just that, so that its rate is the most that a kernel can reach.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..activations import GAINS, SLOPE
from ..bias_act import bias_act
from ..filters import setup_filter
from ..layers import RESAMPLE
from ..upfirdn2d import upfirdn2d

SIZES = ((64, 256), (512, 32), (32, 1024), (128, 256))
"""(channels, side) of feature maps: two of the networks for 256², two of those for 1024²."""

IMAGES = ((3, 256), (3, 1024))

LARGE = 2**28
"""Bytes of the larger tensor, at least: several times what caches hold."""

CLAMP = 256.0
ROUNDS, CALLS = 9, 10


@dataclass(frozen=True)
class Row:
    """One measurement: what was done, with which tensors, and how it compares with a copy."""

    what: str
    shape: tuple[int, ...]
    dtype: str
    layout: str
    bytes: int
    seconds: float
    share: float
    """Of the copy's rate."""


class Maps(NamedTuple):
    """Feature maps to make: as the networks have them."""

    batch: int
    channels: int
    side: int
    dtype: torch.dtype
    form: torch.memory_format
    device: torch.device

    def drawn(self, side: int | None = None) -> Tensor:
        """Of this side or another. Not zeros: on those some devices are faster."""
        shape = self.batch, self.channels, side or self.side, side or self.side
        x = torch.randn(shape, dtype=self.dtype, device=self.device)
        return x.contiguous(memory_format=self.form)


Work = tuple[tuple[Tensor, ...], Callable[[], Tensor]]
"""What is read, and what makes the result of it."""


def rows(
    device: torch.device,
    sizes: Sequence[tuple[int, int]] = SIZES,
    images: Sequence[tuple[int, int]] = IMAGES,
    large: int = LARGE,
) -> Iterator[Row]:
    """The copy, then every kernel as the networks use it."""
    yield (copy := copied(device, large))
    for channels, side in sizes:
        for dtype in (torch.float16, torch.float32):
            for what in WORK:
                for maps in both_layouts(channels, side, dtype, device, large):
                    yield measured(what, maps, copy)
    for channels, side in images:
        for maps in both_layouts(channels, side, torch.float32, device, large):
            yield measured("upfirdn2d, up", maps, copy)


def both_layouts(
    channels: int, side: int, dtype: torch.dtype, device: torch.device, large: int
) -> Iterator[Maps]:
    """So many maps that they are that large, with channels last, as the networks have them, and
    first."""
    batch = math.ceil(large / (channels * side**2 * dtype.itemsize))
    for form in (torch.channels_last, torch.contiguous_format):
        yield Maps(batch, channels, side, dtype, form, device)


def copied(device: torch.device, large: int) -> Row:
    """What a copy of four times as much takes: twice that is moved."""
    x = torch.randn(large, device=device)
    y = torch.empty_like(x)
    spent = seconds(lambda: y.copy_(x), device)
    return Row("copy", tuple(x.shape), _name(x.dtype), "", 2 * x.nbytes, spent, 1.0)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """One call's time: the median of rounds of calls in a row, so that a GPU never waits."""
    work()
    found: list[float] = []
    for _ in range(ROUNDS):
        work()
        if device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            for _ in range(CALLS):
                work()
            end.record()
            end.synchronize()
            found.append(start.elapsed_time(end) / 1000 / CALLS)
        else:
            begun = time.perf_counter()
            work()
            found.append(time.perf_counter() - begun)
    return statistics.median(found)


def measured(what: str, maps: Maps, copy: Row) -> Row:
    """One kernel, and how its rate compares with a copy's."""
    read, work = WORK[what](maps)
    moved = sum(tensor.nbytes for tensor in (*read, work()))
    spent = seconds(work, maps.device)
    share = (moved / spent) / (copy.bytes / copy.seconds)
    return Row(what, tuple(read[0].shape), _name(maps.dtype), _name(maps.form), moved, spent, share)


def _activation(maps: Maps) -> Work:
    x, b = maps.drawn(), torch.randn(maps.channels, dtype=maps.dtype, device=maps.device)
    return (x,), lambda: bias_act(x, b, act="lrelu", clamp=CLAMP)


def _slope(maps: Maps) -> Work:
    dy, y = maps.drawn(), maps.drawn()
    slope = torch.ops.stylegan2_ada.bias_act_slope
    return (dy, y), lambda: slope(dy, y, None, "lrelu", SLOPE, GAINS["lrelu"], CLAMP)


def _resampling(
    size: Callable[[int], int], up: int, down: int, padding: tuple[int, int, int, int], gain: int
) -> Callable[[Maps], Work]:
    def work(maps: Maps) -> Work:
        x, f = maps.drawn(size(maps.side)), setup_filter(RESAMPLE).to(maps.device)
        return (x,), lambda: upfirdn2d(x, f, up, down, padding, gain=gain)

    return work


WORK: dict[str, Callable[[Maps], Work]] = {
    "bias_act": _activation,
    "bias_act, slope": _slope,
    "upfirdn2d, after up": _resampling(lambda side: side + 1, 1, 1, (1, 1, 1, 1), 4),
    "upfirdn2d, before down": _resampling(lambda side: side, 1, 1, (2, 2, 2, 2), 1),
    "upfirdn2d, down": _resampling(lambda side: side, 1, 2, (1, 1, 1, 1), 1),
    "upfirdn2d, up": _resampling(lambda side: side // 2, 2, 1, (2, 1, 2, 1), 4),
}
"""By name; `after up` and `before down` blur what a transposed convolution made, or what a strided
one takes. The larger of the maps that go in and come out has the side that is asked for, or 1 more.
"""


def _name(of: torch.dtype | torch.memory_format) -> str:
    return str(of).removeprefix("torch.").removesuffix("_format")
