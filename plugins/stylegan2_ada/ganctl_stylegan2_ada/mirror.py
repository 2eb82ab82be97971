"""Numbers that live on a device, for a CPU that would rather not wait for them."""

from __future__ import annotations

import torch
from torch import Tensor


class Mirror:
    """What a buffer of one number holds; the device is asked only if somebody else changed it.

    Checkpoints, transfers and moves between devices need a tensor, while the CPU decides by its
    value at every step.
    """

    def __init__(self) -> None:
        self._seen: tuple[Tensor, int, float] | None = None

    def read(self, buffer: Tensor) -> float:
        if self._seen is not None:
            known, version, value = self._seen
            if known is buffer and version == buffer._version:  # so it is no inference tensor
                return value
        value = buffer.item()
        if buffer.is_inference():  # has no version
            return value
        self._seen = buffer, buffer._version, value
        return value

    @torch.no_grad()
    def write(self, buffer: Tensor, value: float) -> None:
        """`value` is taken to be one of the buffer's type."""
        buffer.fill_(value)
        self._seen = None if buffer.is_inference() else (buffer, buffer._version, value)
