"""How tensors lie in memory, told to kernels."""

from __future__ import annotations

import torch
from torch import Tensor

TYPES = {
    torch.float32: "float",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float64: "double",
}
"""What kernels call the numbers that they can take; the middle two are in `numbers.cuh`."""

WIDEST = 16
"""Bytes that a thread can read at once."""


NARROW, WIDE = "unsigned int", "unsigned long long"
"""What numbers are counted with."""


def layout(x: Tensor) -> torch.memory_format:
    """`channels_last` where x lies so, else `contiguous_format`, whether it does or not."""
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not x.is_contiguous() else torch.contiguous_format


def vector(divides: int, *tensors: Tensor) -> int:
    """How many neighbouring numbers can be read at once from all of these tensors of one type.

    A divisor of `divides`; where memory is not aligned to that, fewer.
    """
    count = WIDEST // tensors[0].element_size()
    while count > 1 and (
        divides % count or any(t.data_ptr() % (count * t.element_size()) for t in tensors)
    ):
        count //= 2
    return count


def index(*tensors: Tensor) -> str:
    """The smaller unsigned integer that counts the numbers of each."""
    most = max(t.numel() for t in tensors)
    return NARROW if most < 2**31 else WIDE
