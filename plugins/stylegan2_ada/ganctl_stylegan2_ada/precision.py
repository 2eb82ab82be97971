"""Which arithmetic is used where."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.library import Library


def compute_dtype(float16: bool, device: torch.device) -> torch.dtype:
    """float16 where a block wants it and the device is quick at it: not on CPUs.

    Nor under autocast, which has a type of its own.
    """
    autocast = device.type == "cuda" and torch.is_autocast_enabled("cuda")
    return torch.float16 if float16 and device.type != "cpu" and not autocast else torch.float32


def own_precision(x: Tensor) -> AbstractContextManager[object]:
    """Within, autocast changes no type."""
    if x.is_meta:  # which autocast does not know
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def without_autocast(library: Library, name: str) -> None:
    """Have autocast leave an operator of the library, and what it is made of, as they are."""
    overload = getattr(getattr(torch.ops, library.ns), name).default
    for device, key in (("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")):

        def plainly(*args: Any, device: str = device) -> Any:
            with torch.autocast(device, enabled=False):
                return overload(*args)

        library.impl(name, plainly, key)
